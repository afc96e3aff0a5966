"""Implements the release gate: findings of individual checks and the decision, which is the worst of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from graftline.config import Gate
from graftline.evaluation.result import Estimate, Gain, Unit
from graftline.evaluation.statistics.intervals import holm, wilson
from graftline.evaluation.verdict.gain import Difference
from graftline.runtime.manifest import Manifest

Decision = Literal["promote", "hold", "reject"]
SLICE = 30
"""Minimum number of samples of a class whose recall is checked."""
_ONE_SIDED = 0.025  # one tail of a 95% interval
_ORDER: tuple[Decision, ...] = ("reject", "hold", "promote")


class GateResult(Manifest):
    """Manifest of the gate artifact."""

    verdict: Decision
    reasons: list[str]
    """Reasons for the decision, sorted from the worst finding to the best, one sentence each."""
    figures: dict[str, Estimate]
    """Metrics of the exported file, including `recall/CLASS` for each class with samples (multilabel: also `ap/LABEL`;
    regression: `rmse/OUTPUT` in the unit of the output). Empty if the outputs of the file are invalid."""
    champion: str | None = None
    """Release that the file was compared with; None if there was none."""
    onnx_digest: str
    """Digest of the exported file."""
    dataset_digest: str
    """Digest of the dataset."""
    examples: int
    """Number of test samples that the file was scored on."""
    flips: list[int] = []
    """Rows of the test split where the file and the evaluated model predict different classes that are tied."""


@dataclass(frozen=True)
class Finding:
    """Result of one check; `promote` means that the check passed."""

    decision: Decision
    reason: str


FIRST_RELEASE = Finding("promote", "First release: no champion to compare with, judged by thresholds.")


def conclude(findings: Sequence[Finding]) -> tuple[Decision, list[str]]:
    """Returns the worst decision and all reasons, worst first; `hold` if there are no findings."""
    if not findings:
        return "hold", ["No check was made, so nothing speaks for a release."]
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.decision))
    return ordered[0].decision, [finding.reason for finding in ordered]


def floor_findings(policy: Gate, figures: dict[str, Estimate]) -> list[Finding]:
    """Compares accuracy, macro F1, average precision, RMSE and calibration with the thresholds; None disables a check.

    Args:
        policy: Thresholds of the release gate.
        figures: Metrics of the exported file, with intervals.
    """
    asked = {
        "accuracy": ("accuracy", policy.min_accuracy),
        "macro_f1": ("macro F1", policy.min_macro_f1),
        "macro_ap": ("macro average precision", policy.min_macro_ap),
    }
    findings = [_floor(words, figures.get(name), floor) for name, (words, floor) in asked.items() if floor is not None]
    if policy.max_rmse is not None:
        findings.append(_most(figures.get("rmse"), policy.max_rmse))
    if policy.max_ece is not None:
        findings.append(_ceiling(figures.get("ece"), policy.max_ece))
    return findings


def recall_findings(
    floor: float | None, hits: NDArray[np.int64], counts: NDArray[np.int64], classes: list[str]
) -> list[Finding]:
    """Checks the recall of each class or label against one threshold, with Holm's correction over all that are tested.

    Args:
        floor: Minimum recall; None disables the check.
        hits: (K,), number of correctly predicted samples of each class or label.
        counts: (K,), number of samples of each class or label.
        classes: Names of the K classes or labels.
    """
    if floor is None:
        return []
    small = [f"{name} ({n})" for name, n in zip(classes, counts, strict=True) if n < SLICE]
    judged = [k for k in range(len(classes)) if counts[k] >= SLICE]
    clear = holm([float(binom.cdf(hits[k], counts[k], floor)) for k in judged], _ONE_SIDED)
    findings = []
    if small:
        findings.append(Finding("promote", f"Not judged by class recall, under {SLICE} samples: {', '.join(small)}."))
    under = [(k, c) for k, c in zip(judged, clear, strict=True) if hits[k] / counts[k] < floor]
    for k, clearly in under:
        low, high = wilson(int(hits[k]), int(counts[k]))
        text = (
            f"Recall of class {classes[k]!r} is {hits[k] / counts[k]:.3f} [{low:.3f}, {high:.3f}] "
            f"on {counts[k]} samples"
        )
        findings.append(
            Finding("reject", f"{text}, clearly under the floor {floor:g}.")
            if clearly
            else Finding("hold", f"{text}, under the floor {floor:g}, though not clearly.")
        )
    if judged and not under:
        findings.append(
            Finding("promote", f"Each of the {len(judged)} judged classes holds the recall floor {floor:g}.")
        )
    return findings


def baseline_findings(differences: dict[str, Difference], trivial: str, unit: Unit, delta: float) -> list[Finding]:
    """Compares the exported model with the baselines.

    The decision is `hold` if the model is not significantly better than the trivial baseline, or if it is significantly
    worse than any baseline by more than delta.

    Args:
        differences: Differences by baseline; positive if the exported model is better.
        trivial: Name of the baseline that ignores the samples.
        unit: Unit of the differences.
        delta: Smallest difference that counts.
    """
    if not differences:
        return [Finding("hold", "The evaluation holds no baselines, though the policy asks to beat them.")]
    findings = []
    for name, gap in differences.items():
        better, worse = gap.low > 0, gap.high < -delta
        how = "clearly worse" if worse else "clearly better" if better else "neither clearly better nor clearly worse"
        findings.append(
            Finding(
                "hold" if worse or (name == trivial and not better) else "promote",
                f"The file is {how} than the {name} baseline: {unit.say(gap.value)} {unit.name} "
                f"[{unit.say(gap.low)}, {unit.say(gap.high)}].",
            )
        )
    return findings


def gain_findings(required: bool, gain: Gain) -> list[Finding]:
    """Checks that the transfer gain is positive, if required."""
    if not required:
        return []
    text = f"The transfer gain is {gain.verdict}, {gain.unit.say(gain.value)} {gain.unit.name}"
    if gain.verdict == "positive":
        return [Finding("promote", f"{text}, as the policy asks.")]
    return [Finding("hold", f"{text}, and the policy asks for a positive one.")]


def _floor(name: str, figure: Estimate | None, floor: float) -> Finding:
    if figure is None or figure.high is None or not np.isfinite([figure.value, figure.high]).all():
        return Finding("hold", f"The file has no {name}, so the floor {floor:g} cannot be judged.")
    text = f"{name[0].upper()}{name[1:]} is {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    if figure.high < floor:
        return Finding("reject", f"{text}, clearly under the floor {floor:g}.")
    if figure.value < floor:
        return Finding("hold", f"{text}, under the floor {floor:g}, though not clearly.")
    return Finding("promote", f"{text}, which holds the floor {floor:g}.")


def _most(figure: Estimate | None, ceiling: float) -> Finding:
    if figure is None or figure.low is None or not np.isfinite([figure.value, figure.low]).all():
        return Finding("hold", f"The file has no RMSE, so the ceiling {ceiling:g} cannot be judged.")
    text = f"RMSE is {figure.value:.4g} [{figure.low:.4g}, {figure.high:.4g}]"
    if figure.low > ceiling:
        return Finding("reject", f"{text}, clearly over the ceiling {ceiling:g}.")
    if figure.value > ceiling:
        return Finding("hold", f"{text}, over the ceiling {ceiling:g}, though not clearly.")
    return Finding("promote", f"{text}, which holds the ceiling {ceiling:g}.")


def _ceiling(figure: Estimate | None, ceiling: float) -> Finding:
    """Checks the calibration error; the decision is at most `hold`, because a temperature can fix calibration."""
    if figure is None or not np.isfinite(figure.value):
        return Finding("hold", f"The file has no calibration error, so the ceiling {ceiling:g} cannot be judged.")
    text = f"The calibration error is {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    if figure.value > ceiling:
        return Finding("hold", f"{text}, over the ceiling {ceiling:g}.")
    return Finding("promote", f"{text}, which holds the ceiling {ceiling:g}.")
