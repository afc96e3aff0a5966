"""May this file be released? Findings of single checks, and the verdict that the worst of them makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from graftline.config import Gate
from graftline.evaluation import Figure, Gain
from graftline.manifest import Manifest
from graftline.proof.gain import paired_difference
from graftline.proof.intervals import holm, wilson

Judgement = Literal["promote", "hold", "reject"]
SLICE = 30
"""Samples; smaller slices are not judged."""
_ONE_SIDED = 0.025  # the tail of a 95% interval
_ORDER: tuple[Judgement, ...] = ("reject", "hold", "promote")


class GateResult(Manifest):
    """The gate artifact's manifest."""

    verdict: Judgement
    reasons: list[str]
    """Plain sentences, those against a release first."""
    figures: dict[str, Figure]
    """Of the file that ships; `recall/CLASS` for each class with samples. Empty where the file gave no numbers."""
    champion: str | None = None
    """Release that the file was compared with; None where there was none."""
    onnx_digest: str
    """Of the file that was judged."""
    dataset_digest: str
    examples: int
    """Test samples that the file was scored on."""
    flips: list[int] = []
    """Rows of the test split where the file's class differs from the evaluated model's, both being as good as tied."""


@dataclass(frozen=True)
class Finding:
    """What one check says; `promote` means that it holds nothing against a release."""

    judgement: Judgement
    reason: str


MAJORITY = "majority"
"""The baseline that a file has to be clearly better than."""
FIRST_RELEASE = Finding("promote", "First release: no champion to compare with, judged by thresholds.")


def conclude(findings: Sequence[Finding]) -> tuple[Judgement, list[str]]:
    """The worst judgement and all reasons, worst first. No findings at all hold: nothing was checked."""
    if not findings:
        return "hold", ["No check was made, so nothing speaks for a release."]
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.judgement))
    return ordered[0].judgement, [finding.reason for finding in ordered]


def floor_findings(policy: Gate, figures: dict[str, Figure]) -> list[Finding]:
    """Accuracy, macro F1 and calibration against the policy's floors; what is None is not judged.

    Args:
        policy: The floors.
        figures: The file's, with intervals.
    """
    asked = {"accuracy": policy.min_accuracy, "macro_f1": policy.min_macro_f1}
    found = [_floor(name.replace("_f1", " F1"), figures.get(name), floor)
             for name, floor in asked.items() if floor is not None]
    if policy.max_ece is not None:
        found.append(_ceiling(figures.get("ece"), policy.max_ece))
    return found


def class_findings(floor: float | None, confusion: NDArray[np.int64], classes: list[str]) -> list[Finding]:
    """Every class's recall against one floor; a class is clearly under it by Holm over all judged classes.

    Args:
        floor: Recall; None is not judged.
        confusion: (K, K), rows are true classes.
        classes: Names (K).
    """
    if floor is None:
        return []
    counts, hits = confusion.sum(1), np.diag(confusion)
    small = [f"{name} ({n})" for name, n in zip(classes, counts, strict=True) if n < SLICE]
    judged = [k for k in range(len(classes)) if counts[k] >= SLICE]
    clear = holm([float(binom.cdf(hits[k], counts[k], floor)) for k in judged], _ONE_SIDED)
    found = []
    if small:
        found.append(Finding("promote", f"Not judged by class recall, under {SLICE} samples: {', '.join(small)}."))
    under = [(k, c) for k, c in zip(judged, clear, strict=True) if hits[k] / counts[k] < floor]
    for k, clearly in under:
        low, high = wilson(int(hits[k]), int(counts[k]))
        text = (f"Recall of class {classes[k]!r} is {hits[k] / counts[k]:.3f} [{low:.3f}, {high:.3f}] "
                f"on {counts[k]} samples")
        found.append(Finding("reject", f"{text}, clearly under the floor {floor:g}.") if clearly else
                     Finding("hold", f"{text}, under the floor {floor:g}, though not clearly."))
    if judged and not under:
        found.append(Finding("promote", f"Each of the {len(judged)} judged classes holds the recall floor {floor:g}."))
    return found


def baseline_findings(hits: NDArray[np.bool_], baselines: dict[str, NDArray[np.bool_]], delta: float) -> list[Finding]:
    """The file against each baseline on the same samples.

    What is not clearly better than always saying the most frequent class has learned nothing that is proven, and is
    held back; so is what is clearly worse than another baseline, by more than delta.

    Args:
        hits: (N,), which samples the file has right.
        baselines: Name to (N,), likewise.
        delta: Difference in accuracy that counts.
    """
    if not baselines:
        return [Finding("hold", "The evaluation holds no baselines, though the policy asks to beat them.")]
    found = []
    for name, theirs in baselines.items():
        difference = paired_difference(hits[None], theirs[None], seed=0)
        better, worse = difference.low > 0, difference.high < -delta
        how = "clearly worse" if worse else "clearly better" if better else "neither clearly better nor clearly worse"
        found.append(Finding("hold" if worse or (name == MAJORITY and not better) else "promote",
                             f"The file is {how} than the {name} baseline: {difference.value * 100:+.1f} points "
                             f"[{difference.low * 100:+.1f}, {difference.high * 100:+.1f}]."))
    return found


def gain_findings(required: bool, gain: Gain) -> list[Finding]:
    """The transfer gain, where the policy asks for a positive one."""
    if not required:
        return []
    text = f"The transfer gain is {gain.verdict}, {gain.value * 100:+.1f} points"
    if gain.verdict == "positive":
        return [Finding("promote", f"{text}, as the policy asks.")]
    return [Finding("hold", f"{text}, and the policy asks for a positive one.")]


def _floor(name: str, figure: Figure | None, floor: float) -> Finding:
    if figure is None or figure.high is None or not np.isfinite([figure.value, figure.high]).all():
        return Finding("hold", f"The file has no {name}, so the floor {floor:g} cannot be judged.")
    text = f"{name[0].upper()}{name[1:]} is {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    if figure.high < floor:
        return Finding("reject", f"{text}, clearly under the floor {floor:g}.")
    if figure.value < floor:
        return Finding("hold", f"{text}, under the floor {floor:g}, though not clearly.")
    return Finding("promote", f"{text}, which holds the floor {floor:g}.")


def _ceiling(figure: Figure | None, ceiling: float) -> Finding:
    """Calibration holds back at most: a temperature mends it, so it is never a ground for refusal by itself."""
    if figure is None or not np.isfinite(figure.value):
        return Finding("hold", f"The file has no calibration error, so the ceiling {ceiling:g} cannot be judged.")
    text = f"The calibration error is {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    if figure.value > ceiling:
        return Finding("hold", f"{text}, over the ceiling {ceiling:g}.")
    return Finding("promote", f"{text}, which holds the ceiling {ceiling:g}.")
