"""Is the file that ships the model that was tested? Checked on what both answered on the same test samples."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from graftline.evaluation.metrics import measure
from graftline.evaluation.metrics.classification import per_class
from graftline.evaluation.result import Figure
from graftline.evaluation.verdict.gate import Finding

TOLERANCE = 1e-3
"""Of the largest logit: what a GPU and a CPU may differ by in float32, and how close two classes are a tie."""
PROBABILITY = 1e-4
_ECE = 5e-3  # a sample that changes its bin by a rounding moves the error by about so much

Logits = NDArray[np.float32]


def same_model(
    logits: Logits, probabilities: Logits, evaluated: Logits, *, temperature: float
) -> tuple[list[Finding], list[int]]:
    """Compares the file's answers with those that evaluate scored.

    Args:
        logits: (N, K) of the file.
        probabilities: (N, K) of the file.
        evaluated: (N, K), the logits that evaluate scored.
        temperature: That evaluate fitted; `probabilities` must be softmax(logits / temperature).

    Returns:
        Findings, a rejection for each difference that is more than float noise; and the rows where the class differs
        though the two classes are as good as tied.
    """
    if wrong := broken(logits, probabilities, evaluated):
        return wrong, []
    found = unlike(
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
        found.append(
            Finding(
                "reject",
                f"The file answers another class than the tested model on {len(real)} samples "
                f"where that was no tie: rows {some(real)} of the test split.",
            )
        )
    elif len(rows):
        found.append(
            Finding(
                "promote",
                f"The file answers another class on {len(rows)} samples that the tested model "
                f"held for a tie: rows {some(rows.tolist())} of the test split.",
            )
        )
    return found or [alike(logits, evaluated)], rows.tolist()


def unlike(logits: Logits, evaluated: Logits, expected: Logits, probabilities: Logits, formula: str) -> list[Finding]:
    """Rejections where the file's numbers are not the tested model's.

    Args:
        logits: (N, K) of the file.
        evaluated: (N, K) of the tested model.
        expected: (N, K), what the probabilities have to be.
        probabilities: (N, K) of the file.
        formula: In words, such as `softmax(logits / 1.2)`.
    """
    allowed = TOLERANCE * float(np.abs(evaluated).max())
    found = []
    if (worst := float(np.abs(logits - evaluated).max())) > allowed:
        found.append(
            Finding(
                "reject",
                f"The file is not the tested model: its logits differ by up to {worst:.3g}, "
                f"float noise allows {allowed:.3g}.",
            )
        )
    if (apart := float(np.abs(expected - probabilities).max())) > PROBABILITY:
        found.append(
            Finding(
                "reject",
                f"The file's probabilities are not {formula}, the temperature that was fitted: "
                f"they differ by up to {apart:.3g}.",
            )
        )
    return found


def alike(logits: Logits, evaluated: Logits) -> Finding:
    """The file answers as the tested model does."""
    worst = float(np.abs(logits - evaluated).max())
    return Finding(
        "promote",
        f"The file answers as the tested model does on all {len(logits):,} test samples; "
        f"largest logit difference {worst:.1e}.",
    )


def broken(outputs: Logits, answers: Logits, evaluated: Logits) -> list[Finding]:
    """A rejection where the file gives no numbers, or other than one answer a sample and output."""
    bad = int((~np.isfinite(outputs) | ~np.isfinite(answers)).any(1).sum())
    if not bad and outputs.shape == evaluated.shape:
        return []
    why = (
        f"{bad} of {len(outputs)} samples got NaN or infinite numbers"
        if bad
        else (f"its answers have the shape {outputs.shape}, the evaluated model's {evaluated.shape}")
    )
    return [Finding("reject", f"The file is broken: {why}.")]


def same_figures(
    logits: Logits,
    labels: NDArray[np.int64],
    stated: dict[str, Figure],
    stated_per_class: list[dict[str, float | int | str]],
    *,
    flips: int,
) -> list[Finding]:
    """Computes the file's figures anew and compares them with those that the evaluation states.

    Args:
        logits: (N, K) of the file, divided by the temperature.
        labels: (N,), the truth.
        stated: The evaluation's `test`.
        stated_per_class: The evaluation's `per_class`.
        flips: Samples whose class differs by a tie; each may move a figure.

    Returns:
        A hold for a figure that is missing, a rejection for one that differs.
    """
    classes = [str(line["class"]) for line in stated_per_class]
    counts = np.bincount(labels, minlength=len(classes))
    room = flips / max(1, int(counts[counts > 0].min())) + 1e-6
    mine = measure(logits, labels)
    rates = per_class(logits.argmax(1), labels, classes)
    pairs = [
        (name, mine[name], stated[name].value if name in stated else None, room + _ECE * (name == "ece"))
        for name in ("accuracy", "macro_f1", "ece")
    ]
    pairs += [
        (f"recall of {name!r}", float(own["recall"]), float(line["recall"]), room)
        for name, own, line in zip(classes, rates, stated_per_class, strict=True)
    ]
    found = []
    for name, value, said, allowed in pairs:
        if said is None:
            found.append(Finding("hold", f"The evaluation does not state {name}, so the file's cannot be compared."))
        elif not abs(value - said) <= allowed:
            found.append(Finding("reject", f"The file's {name} is {value:.4f}, the evaluation states {said:.4f}."))
    return found


def same_stated(
    compared: Sequence[tuple[str, float, float]], stated: dict[str, Figure], rows: list[dict[str, float | int | str]]
) -> list[Finding]:
    """Compares the evaluation's figures with those of the file, and of the answers that evaluate stored.

    A file that is the tested model but for float noise may rank two samples the other way round; what that moves,
    the stored answers show.

    Args:
        compared: Name, the file's figure, the stored answers' figure; `ap/cat` is `ap` in the row of the class `cat`.
        stated: The evaluation's `test`.
        rows: The evaluation's `per_class`.

    Returns:
        A hold for a figure that is missing, a rejection for one that differs.
    """
    by_class = {str(row["class"]): row for row in rows}
    found = []
    for name, ours, stored in compared:
        figure, _, of = name.partition("/")
        said = by_class.get(of, {}).get(figure) if of else stated[name].value if name in stated else None
        shown = f"{figure} of {of!r}" if of else name
        if said is None:
            found.append(Finding("hold", f"The evaluation does not state {shown}, so the file's cannot be compared."))
        elif not abs(ours - float(said)) <= abs(ours - stored) + 1e-5 * max(1.0, abs(stored)):
            found.append(
                Finding("reject", f"The file's {shown} is {ours:.4g}, the evaluation states {float(said):.4g}.")
            )
    return found


def some(rows: Iterable[int]) -> str:
    """The first ten row numbers."""
    listed = list(rows)
    return ", ".join(map(str, listed[:10])) + (" ..." if len(listed) > 10 else "")
