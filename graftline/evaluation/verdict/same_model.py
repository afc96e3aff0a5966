"""Checks on the test samples that the exported file matches the tested model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from graftline.evaluation.metrics.classification import per_class
from graftline.evaluation.result import Estimate
from graftline.evaluation.statistics.estimates import measure_classes
from graftline.evaluation.verdict.gate import Finding

TOLERANCE = 1e-3
"""Maximum float32 difference between GPU and CPU, relative to the largest logit; classes within it are tied."""
PROBABILITY = 1e-4
"""Maximum absolute difference between the expected and the exported probabilities."""
_ECE = 5e-3  # approximate change of the error if rounding moves a sample to another bin

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class ExportedOutputs:
    """Outputs of the exported file and of the tested model on the test split, with the metrics from `evaluate`."""

    outputs: Logits
    """Logits or regression values (N, K) of the exported file."""
    probabilities: Logits
    """Probabilities (N, K) of the exported file; for regression, equal to `outputs`."""
    evaluated: Logits
    """Outputs (N, K) that `evaluate` scored."""
    stated: dict[str, Estimate]
    """Test metrics from `evaluate`, its `test`."""
    rows: list[dict[str, float | int | str]]
    """Metrics per class from `evaluate`, its `per_class`."""
    temperature: float
    """Temperature that `evaluate` fitted."""


def check_same_model(
    logits: Logits, probabilities: Logits, evaluated: Logits, *, temperature: float
) -> tuple[list[Finding], list[int]]:
    """Compares the outputs of the exported file with those that `evaluate` scored.

    Args:
        logits: (N, K), logits of the exported file.
        probabilities: (N, K), probabilities of the exported file.
        evaluated: (N, K), logits that `evaluate` scored.
        temperature: Temperature that `evaluate` fitted; `probabilities` must be softmax(logits / temperature).

    Returns:
        Findings, with a rejection for each difference beyond the float tolerance, and the rows in which the predicted
        class differs.
    """
    if wrong := find_invalid_outputs(logits, probabilities, evaluated):
        return wrong, []
    findings = find_mismatches(
        logits,
        evaluated,
        softmax(logits.astype(np.float64) / temperature, axis=1),
        probabilities,
        f"softmax(logits / {temperature:.4g})",
    )
    allowed = TOLERANCE * float(np.abs(evaluated).max())
    ours, theirs = logits.argmax(1), evaluated.argmax(1)
    rows = np.flatnonzero(ours != theirs)
    margin = evaluated[rows, theirs[rows]] - evaluated[rows, ours[rows]]
    real = rows[margin > allowed].tolist()
    if real:
        findings.append(
            Finding(
                "reject",
                f"The file answers another class than the tested model on {len(real)} samples "
                f"where that was no tie: rows {first_rows(real)} of the test split.",
            )
        )
    elif len(rows):
        findings.append(
            Finding(
                "promote",
                f"The file answers another class on {len(rows)} samples that the tested model "
                f"held for a tie: rows {first_rows(rows.tolist())} of the test split.",
            )
        )
    return findings or [match_finding(logits, evaluated)], rows.tolist()


def find_mismatches(
    logits: Logits, evaluated: Logits, expected: Logits, probabilities: Logits, formula: str
) -> list[Finding]:
    """Returns a rejection for each of the logits and probabilities that differ from the expected ones.

    Args:
        logits: (N, K), logits of the exported file.
        evaluated: (N, K), logits of the tested model.
        expected: (N, K), expected probabilities.
        probabilities: (N, K), probabilities of the exported file.
        formula: Formula of the expected probabilities for the message, such as `softmax(logits / 1.2)`.
    """
    allowed = TOLERANCE * float(np.abs(evaluated).max())
    findings = []
    if (worst := float(np.abs(logits - evaluated).max())) > allowed:
        findings.append(
            Finding(
                "reject",
                f"The file is not the tested model: its logits differ by up to {worst:.3g}, "
                f"float noise allows {allowed:.3g}.",
            )
        )
    if (apart := float(np.abs(expected - probabilities).max())) > PROBABILITY:
        findings.append(
            Finding(
                "reject",
                f"The file's probabilities are not {formula}, the temperature that was fitted: "
                f"they differ by up to {apart:.3g}.",
            )
        )
    return findings


def match_finding(logits: Logits, evaluated: Logits) -> Finding:
    """Returns the finding that the file's outputs match those of the tested model."""
    worst = float(np.abs(logits - evaluated).max())
    return Finding(
        "promote",
        f"The file answers as the tested model does on all {len(logits):,} test samples; "
        f"largest logit difference {worst:.1e}.",
    )


def find_invalid_outputs(outputs: Logits, answers: Logits, evaluated: Logits) -> list[Finding]:
    """Returns a rejection if the outputs are not finite or have the wrong shape."""
    bad = int((~np.isfinite(outputs) | ~np.isfinite(answers)).any(1).sum())
    if not bad and outputs.shape == evaluated.shape:
        return []
    why = (
        f"{bad} of {len(outputs)} samples got NaN or infinite numbers"
        if bad
        else (f"its answers have the shape {outputs.shape}, the evaluated model's {evaluated.shape}")
    )
    return [Finding("reject", f"The file is broken: {why}.")]


def check_class_metrics(
    logits: Logits,
    labels: NDArray[np.int64],
    stated: dict[str, Estimate],
    stated_per_class: list[dict[str, float | int | str]],
    *,
    flips: int,
) -> list[Finding]:
    """Computes the metrics of the exported file and compares them with those from `evaluate`.

    Args:
        logits: (N, K), logits of the exported file, divided by the temperature.
        labels: (N,), true classes.
        stated: Test metrics from `evaluate`.
        stated_per_class: Metrics per class from `evaluate`.
        flips: Number of samples whose predicted class differs because of a tie; each may change a metric.

    Returns:
        A `hold` for each missing metric, and a rejection for each metric that differs.
    """
    classes = [str(line["class"]) for line in stated_per_class]
    counts = np.bincount(labels, minlength=len(classes))
    room = flips / max(1, int(counts[counts > 0].min())) + 1e-6
    mine = measure_classes(logits, labels)
    rates = per_class(logits.argmax(1), labels, classes)
    pairs = [
        (name, mine[name], stated[name].value if name in stated else None, room + _ECE * (name == "ece"))
        for name in ("accuracy", "macro_f1", "ece")
    ]
    pairs += [
        (f"recall of {name!r}", float(own["recall"]), float(line["recall"]), room)
        for name, own, line in zip(classes, rates, stated_per_class, strict=True)
    ]
    findings = []
    for name, value, stated_as, allowed in pairs:
        if stated_as is None:
            findings.append(Finding("hold", f"The evaluation does not state {name}, so the file's cannot be compared."))
        elif not abs(value - stated_as) <= allowed:
            findings.append(
                Finding("reject", f"The file's {name} is {value:.4f}, the evaluation states {stated_as:.4f}.")
            )
    return findings


def check_stated_metrics(
    compared: Sequence[tuple[str, float, float]], stated: dict[str, Estimate], rows: list[dict[str, float | int | str]]
) -> list[Finding]:
    """Compares the metrics from `evaluate` with those of the exported file and of the stored outputs.

    Rounding errors may swap the ranks of two samples. The difference between the metrics of the file and of the stored
    outputs is the tolerance for this.

    Args:
        compared: Name, metric of the exported file, and metric of the stored outputs; `ap/cat` is `ap` in the row of
            the class `cat`.
        stated: Test metrics from `evaluate`.
        rows: Metrics per class from `evaluate`.

    Returns:
        A `hold` for each missing metric, and a rejection for each metric that differs.
    """
    by_class = {str(row["class"]): row for row in rows}
    findings = []
    for name, ours, stored in compared:
        figure, _, of = name.partition("/")
        stated_as = by_class.get(of, {}).get(figure) if of else stated[name].value if name in stated else None
        described = f"{figure} of {of!r}" if of else name
        if stated_as is None:
            findings.append(
                Finding("hold", f"The evaluation does not state {described}, so the file's cannot be compared.")
            )
        elif not abs(ours - float(stated_as)) <= abs(ours - stored) + 1e-5 * max(1.0, abs(stored)):
            findings.append(
                Finding(
                    "reject", f"The file's {described} is {ours:.4g}, the evaluation states {float(stated_as):.4g}."
                )
            )
    return findings


def first_rows(rows: Iterable[int]) -> str:
    """Returns the first ten row numbers as text."""
    listed = list(rows)
    return ", ".join(map(str, listed[:10])) + (" ..." if len(listed) > 10 else "")
