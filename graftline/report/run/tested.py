"""The test split: figures beside the control's, classes, confusions, calibration."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from graftline.evaluation.metrics.calibration import bins_by, bins_of
from graftline.evaluation.result import Evaluation, Figure
from graftline.release.onnx.parity import sigmoid
from graftline.report import plots, wording
from graftline.report.plots import Dot
from graftline.report.run.artifacts import Run

_CELLS = 15  # classes whose confusion matrix still is a table
_PAIRS = 8
_FITS = 6  # outputs drawn
_LABELS = 30
_ACCENT = (60, 140, 130)  # reads on light and on dark


@dataclass(frozen=True)
class ConfusionCell:
    """One cell of the confusion matrix."""

    count: int
    share: float
    """Of its row, in percent."""
    right: bool


@dataclass(frozen=True)
class Pair:
    """Two classes and how often the first was taken for the second."""

    truth: str
    label: str
    count: int
    share: float


@dataclass(frozen=True)
class Fit:
    """One output of a regression: predictions against the truth, and errors."""

    name: str
    scatter: Markup
    residuals: Markup


def comparison(found: Evaluation) -> Markup:
    """Main figures of transfer, control and baselines, best first."""
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
    alt = "; ".join(f"{row.label} {wording.value(Figure(value=row.value), main)}" for row in rows)
    what = found.gain.unit.figure
    return plots.dots(
        rows,
        f"{what} on test, 95% interval{'; less is better' if main == 'rmse' else ''}",
        f"Test {what}: {alt}",
        shares=main != "rmse",
    )


def matrix(found: Evaluation) -> list[tuple[str, list[ConfusionCell]]] | None:
    """The confusion matrix as rows of cells, for few classes."""
    if not 0 < len(found.confusion) <= _CELLS:
        return None
    counts = np.array(found.confusion)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        (name, [ConfusionCell(int(counts[i, j]), float(shares[i, j]), i == j) for j in range(len(counts))])
        for i, name in enumerate(found.classes)
    ]


def heat(found: Evaluation) -> str | None:
    """The confusion matrix of many classes as a picture (data: URI), each row in shares of its class."""
    if len(found.confusion) <= _CELLS:
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
    """The most frequent confusions."""
    if not found.confusion:
        return []
    counts = np.array(found.confusion)
    np.fill_diagonal(counts, 0)
    totals = np.maximum(np.array(found.confusion).sum(1), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:_PAIRS]
    pairs = [divmod(int(flat), len(counts)) for flat in order]
    return [
        Pair(found.classes[i], found.classes[j], int(counts[i, j]), float(counts[i, j] / totals[i]))
        for i, j in pairs
        if counts[i, j]
    ]


def reliability(run: Run) -> Markup | None:
    """The reliability diagram before and after the temperature; None where there are too few images for two bins."""
    if run.evaluation.calibration is None:
        return None
    logits, labels = shipped(run), run.predictions.labels
    multilabel = run.evaluation.task == "multilabel"
    before, after = (
        bins_by(sigmoid(scaled).ravel(), labels.ravel() > 0.5) if multilabel else bins_of(scaled, labels)
        for scaled in (logits, logits / run.evaluation.temperature)
    )
    if min(len(before.samples), len(after.samples)) < 2:
        return None
    return plots.reliability(before, after, "share that has the label" if multilabel else "share that was right")


def shipped(run: Run) -> NDArray[np.float32]:
    """What the model that ships said of test: logits (N, K), or values."""
    return run.predictions.chosen[run.evaluation.chosen.seeds[0]]


def fits(run: Run) -> list[Fit]:
    """A regression's drawings, an output each, the worst explained first; of no more than six."""
    if run.evaluation.task != "regression":
        return []
    values, labels, rows = shipped(run), run.predictions.labels, run.evaluation.per_class
    order = sorted(range(len(rows)), key=lambda at: float(rows[at]["r2"]))[:_FITS]
    return [
        Fit(
            str(rows[at]["class"]),
            plots.scatter(values[:, at], labels[:, at], f"output {at + 1}"),
            plots.residuals(values[:, at], labels[:, at], f"output {at + 1}"),
        )
        for at in order
    ]


def precisions(found: Evaluation) -> Markup | None:
    """A multilabel task's average precision label by label, with intervals, the lowest first; of no more than 30."""
    rows = [row for row in found.per_class if "ap_low" in row]
    if not rows:
        return None
    shown = sorted(rows, key=lambda row: float(row["ap"]))[:_LABELS]
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
