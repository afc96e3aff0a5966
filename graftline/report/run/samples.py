"""Test images with their predictions: correct ones, and the most confident errors."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftline.data.dataset import read_samples
from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.links import softmax
from graftline.evaluation.metrics.multilabel import losses
from graftline.report import wording
from graftline.report.run.artifacts import Run

_N_IMAGES = 8
_MAX_VALUES = 4  # shown below an image of a regression
_SIDE = 176  # pixels at most: twice the size on a phone
_SMALL = 64  # pixels; up to this side PNG is smaller than JPEG


@dataclass(frozen=True)
class TestImage:
    """One image and the model's prediction."""

    picture: str
    """Image as a data: URI."""
    small: bool
    key: str
    """Name of the file it comes from."""
    truth: str
    label: str
    probability: float | None
    """Probability of the label; None for several labels or values."""
    good: bool = False
    """Whether the prediction is correct."""


def right(run: Run) -> list[TestImage]:
    """Returns correct predictions, one for each class in the order of the test split.

    Regression: the smallest errors. Multilabel: images with every label correct, smallest loss first.
    """
    if not LABEL_TYPES[run.evaluation.task].is_class:
        order = np.argsort(_off(run), kind="stable")
        return _told(
            run, [i for i in order if LABEL_TYPES[run.evaluation.task].is_numeric or _exact(run)[i]][:_N_IMAGES]
        )
    labels, said, _ = _answers(run)
    found = np.flatnonzero(labels == said)
    firsts = found[np.unique(labels[found], return_index=True)[1]]
    rest = np.setdiff1d(found, firsts)
    return _samples(run, sorted(firsts[:_N_IMAGES]) + sorted(rest[: max(0, _N_IMAGES - len(firsts))]))


def wrong(run: Run) -> list[TestImage]:
    """Returns wrong predictions, most confident first; for values and several labels the largest errors."""
    if not LABEL_TYPES[run.evaluation.task].is_class:
        order = np.argsort(-_off(run), kind="stable")
        return _told(
            run, [i for i in order if LABEL_TYPES[run.evaluation.task].is_numeric or not _exact(run)[i]][:_N_IMAGES]
        )
    labels, said, sure = _answers(run)
    found = np.flatnonzero(labels != said)
    return _samples(run, found[np.argsort(-sure[found], kind="stable")][:_N_IMAGES])


def _answers(run: Run) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    shares = probabilities(run)
    return run.predictions.labels, shares.argmax(1), shares.max(1)


def _outputs(run: Run) -> NDArray[np.float32]:
    return run.predictions.chosen[run.evaluation.chosen.seeds[0]]


def _off(run: Run) -> NDArray[np.float64]:
    """Returns the error of each prediction, (N,): mean error in deviations, or mean loss over the labels."""
    outputs, labels = _outputs(run).astype(np.float64), run.predictions.labels
    if LABEL_TYPES[run.evaluation.task].is_numeric:
        found: NDArray[np.float64] = (np.abs(outputs - labels) / run.onnx.facts.scale).mean(1)
        return found
    return np.asarray(losses(outputs / run.evaluation.temperature, labels).mean(1))


def _exact(run: Run) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = ((_outputs(run) > 0) == (run.predictions.labels > 0.5)).all(1)
    return found


def _told(run: Run, rows: Iterable[int]) -> list[TestImage]:
    """Returns samples with several labels, or with values."""
    outputs, labels, names = _outputs(run), run.predictions.labels, run.evaluation.classes
    stored = [sample for sample in read_samples(run.place) if sample.split == "test"]
    return [
        TestImage(
            *_picture(run.data.test.images[i]),
            stored[i].key,
            _said(labels[i], names, run.evaluation.task),
            _said(outputs[i], names, run.evaluation.task),
            None,
            LABEL_TYPES[run.evaluation.task].is_multi_hot and bool(((outputs[i] > 0) == (labels[i] > 0.5)).all()),
        )
        for i in rows
    ]


def _said(row: NDArray[np.floating], names: list[str], task: str) -> str:
    if LABEL_TYPES[task].is_multi_hot:  # labels 0 and 1, or logits
        return ", ".join(name for name, there in zip(names, row > 0, strict=True) if there) or "no label"
    values = [f"{value:.4g}".replace("-", wording.MINUS) for value in row[:_MAX_VALUES]]
    if len(row) == 1:
        return values[0]
    told = [f"{name} {value}" for name, value in zip(names, values, strict=False)]
    return ", ".join(told) + (", ..." if len(row) > _MAX_VALUES else "")


def probabilities(run: Run) -> NDArray[np.float32]:
    """Returns the probabilities of the released model, (N, K), temperature applied."""
    return softmax(_outputs(run) / run.evaluation.temperature)


def _samples(run: Run, rows: Iterable[int]) -> list[TestImage]:
    shares = probabilities(run)
    classes = run.data.manifest.classes
    stored = [sample for sample in read_samples(run.place) if sample.split == "test"]
    return [
        TestImage(
            *_picture(run.data.test.images[i]),
            stored[i].key,
            classes[run.predictions.labels[i]],
            classes[int(shares[i].argmax())],
            float(shares[i].max()),
            int(shares[i].argmax()) == run.predictions.labels[i],
        )
        for i in rows
    ]


def _picture(image: NDArray[np.uint8]) -> tuple[str, bool]:
    """Returns a (C, H, W) image as a data: URI, and whether it is small."""
    array = np.asarray(image)
    picture = Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))
    small = max(picture.size) <= _SMALL
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    if small:
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, "JPEG", quality=80, optimize=True)
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}", small
