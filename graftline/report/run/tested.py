"""The report's section on the test split: comparison, confusion matrix, calibration, residuals."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.links import sigmoid
from graftline.evaluation.metrics.calibration import bins_by, bins_of
from graftline.evaluation.result import Estimate, Evaluation
from graftline.report import plots, wording
from graftline.report.plots import Dot
from graftline.report.run.artifacts import Run

_MAX_TABLE = 15  # classes up to which the confusion matrix is a table
_N_PAIRS = 8
_N_OUTPUTS = 6  # plotted
_N_LABELS = 30
_ACCENT = (60, 140, 130)  # readable on light and dark


@dataclass(frozen=True)
class ConfusionCell:
    """One cell of the confusion matrix."""

    count: int
    share: float
    """Share of its row, in percent."""
    right: bool


@dataclass(frozen=True)
class Pair:
    """Two classes and how often the first was predicted as the second."""

    truth: str
    label: str
    count: int
    share: float


@dataclass(frozen=True)
class Fit:
    """Plots of one output of a regression: predicted against true values, and residuals."""

    name: str
    scatter: Markup
    residuals: Markup


def comparison(found: Evaluation) -> Markup:
    """Plots the main figure of transfer, control and baselines, best first."""
    main = found.gain.measure
    scores = {"chosen": found.test[main], "control": found.control_test[main], **found.baselines}
    sign = 1 if main == "rmse" else -1
    rows = [
        Dot(
            wording.SHORT.get(name, name),
            f.value,
            f.low,
            f.high,
            "chosen" if name == "chosen" else "control" if name == "control" else "other",
        )
        for name, f in sorted(scores.items(), key=lambda item: sign * item[1].value)
    ]
    alt = "; ".join(f"{row.label} {wording.value(Estimate(value=row.value), main)}" for row in rows)
    what = found.gain.unit.figure
    return plots.dots(
        rows,
        f"{what} on test, 95% interval{'; lower is better' if main == 'rmse' else ''}",
        f"Test {what}: {alt}",
        shares=main != "rmse",
    )


def matrix(found: Evaluation) -> list[tuple[str, list[ConfusionCell]]] | None:
    """Returns the confusion matrix as rows of cells; None for too many classes."""
    if not 0 < len(found.confusion) <= _MAX_TABLE:
        return None
    counts = np.array(found.confusion)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        (name, [ConfusionCell(int(counts[i, j]), float(shares[i, j]), i == j) for j in range(len(counts))])
        for i, name in enumerate(found.classes)
    ]


def heat(found: Evaluation) -> str | None:
    """Returns the row-normalized confusion matrix of many classes as an image (data: URI)."""
    if len(found.confusion) <= _MAX_TABLE:
        return None
    counts = np.array(found.confusion, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    picture = np.zeros((*counts.shape, 4), np.uint8)
    picture[..., :3] = _ACCENT
    picture[..., 3] = np.round(255 * np.sqrt(shares))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def confused(found: Evaluation) -> list[Pair]:
    """Returns the most frequent confusions."""
    if not found.confusion:
        return []
    counts = np.array(found.confusion)
    np.fill_diagonal(counts, 0)
    totals = np.maximum(np.array(found.confusion).sum(1), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:_N_PAIRS]
    pairs = [divmod(int(flat), len(counts)) for flat in order]
    return [
        Pair(found.classes[i], found.classes[j], int(counts[i, j]), float(counts[i, j] / totals[i]))
        for i, j in pairs
        if counts[i, j]
    ]


def reliability(run: Run) -> Markup | None:
    """Plots the reliability diagram before and after temperature scaling; None if there are too few images."""
    if run.evaluation.calibration is None:
        return None
    logits, labels = shipped(run), run.predictions.labels
    multilabel = LABEL_TYPES[run.evaluation.task].is_multi_hot
    before, after = (
        bins_by(sigmoid(scaled).ravel(), labels.ravel() > 0.5) if multilabel else bins_of(scaled, labels)
        for scaled in (logits, logits / run.evaluation.temperature)
    )
    if min(len(before.samples), len(after.samples)) < 2:
        return None
    return plots.reliability(before, after, "fraction with the label" if multilabel else "fraction correct")


def shipped(run: Run) -> NDArray[np.float32]:
    """Returns the released model's outputs on the test split: logits (N, K), or values."""
    return run.predictions.chosen[run.evaluation.chosen.seeds[0]]


def fits(run: Run) -> list[Fit]:
    """Plots the outputs of a regression, lowest R2 first; at most six."""
    if not LABEL_TYPES[run.evaluation.task].is_numeric:
        return []
    values, labels, rows = shipped(run), run.predictions.labels, run.evaluation.per_class
    order = sorted(range(len(rows)), key=lambda at: float(rows[at]["r2"]))[:_N_OUTPUTS]
    return [
        Fit(
            str(rows[at]["class"]),
            plots.scatter(values[:, at], labels[:, at], f"output {at + 1}"),
            plots.residuals(values[:, at], labels[:, at], f"output {at + 1}"),
        )
        for at in order
    ]


def precisions(found: Evaluation) -> Markup | None:
    """Plots the average precision of each label with its interval, lowest first; at most 30."""
    rows = [row for row in found.per_class if "ap_low" in row]
    if not rows:
        return None
    shown = sorted(rows, key=lambda row: float(row["ap"]))[:_N_LABELS]
    dots = [
        Dot(
            " ".join(wording.visible(str(row["class"])).split()),
            float(row["ap"]),
            float(row["ap_low"]),
            float(row["ap_high"]),
            "chosen",
        )
        for row in shown
    ]
    return plots.dots(
        dots, "average precision on test, 95% interval", f"Average precision of {len(shown)} labels, the lowest first"
    )
