"""The test split: figures beside the control's, classes, confusions, calibration."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

from graftline.evaluation import Evaluation
from graftline.metrics.calibration import bins_of
from graftline.report import plots, words
from graftline.report.plots import Dot
from graftline.report.run import Run

_CELLS = 15  # classes whose confusion matrix still is a table
_PAIRS = 8
_ACCENT = (60, 140, 130)  # reads on light and on dark


@dataclass(frozen=True)
class Cell:
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


def comparison(found: Evaluation) -> Markup:
    """Accuracies of transfer, control and baselines, best first."""
    scores = {"chosen": found.test["accuracy"], "control": found.control_test["accuracy"], **found.baselines}
    names = {"chosen": "transfer", "forest": "random forest", "majority": "majority class"}
    rows = [Dot(names.get(name, name), f.value, f.low, f.high,
                "chosen" if name == "chosen" else "control" if name == "control" else "other")
            for name, f in sorted(scores.items(), key=lambda item: -item[1].value)]
    alt = "; ".join(f"{row.label} {words.percent(row.value)}" for row in rows)
    return plots.dots(rows, "accuracy on test, 95% interval", f"Test accuracy: {alt}")


def matrix(found: Evaluation) -> list[tuple[str, list[Cell]]] | None:
    """The confusion matrix as rows of cells, for few classes."""
    if len(found.classes) > _CELLS:
        return None
    counts = np.array(found.confusion)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [(name, [Cell(int(counts[i, j]), float(shares[i, j]), i == j) for j in range(len(counts))])
            for i, name in enumerate(found.classes)]


def heat(found: Evaluation) -> str | None:
    """The confusion matrix of many classes as a picture (data: URI), each row in shares of its class."""
    if len(found.classes) <= _CELLS:
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
    counts = np.array(found.confusion)
    np.fill_diagonal(counts, 0)
    totals = np.maximum(np.array(found.confusion).sum(1), 1)
    order = np.argsort(-counts, axis=None, kind="stable")[:_PAIRS]
    pairs = [divmod(int(flat), len(counts)) for flat in order]
    return [Pair(found.classes[i], found.classes[j], int(counts[i, j]), float(counts[i, j] / totals[i]))
            for i, j in pairs if counts[i, j]]


def reliability(run: Run) -> Markup | None:
    """The reliability diagram before and after the temperature; None where there are too few images for two bins."""
    logits = run.predictions.chosen[run.evaluation.chosen.seeds[0]]
    labels = run.predictions.labels
    before = bins_of(logits, labels)
    after = bins_of(logits / run.evaluation.calibration.temperature, labels)
    return plots.reliability(before, after) if min(len(before.samples), len(after.samples)) > 1 else None
