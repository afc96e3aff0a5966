"""Test images with what the model says of them: some that it has right, and those that it is most wrongly sure of."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftline.dataset import read_samples
from graftline.parity import softmax
from graftline.report.run import Run

_EACH = 8
_SIDE = 176  # pixels at most; twice what a phone shows
_SMALL = 64  # up to here pixels are shown as squares, and PNG is smaller than JPEG


@dataclass(frozen=True)
class Sample:
    """One image and the model's answer."""

    picture: str
    """As a data: URI."""
    small: bool
    key: str
    """The file it came from."""
    truth: str
    label: str
    probability: float


def right(run: Run) -> list[Sample]:
    """Right answers, one class after another, each the first of its class in the test split's order."""
    labels, said, _ = _answers(run)
    found = np.flatnonzero(labels == said)
    firsts = found[np.unique(labels[found], return_index=True)[1]]
    rest = np.setdiff1d(found, firsts)
    return _samples(run, sorted(firsts[:_EACH]) + sorted(rest[:max(0, _EACH - len(firsts))]))


def wrong(run: Run) -> list[Sample]:
    """Wrong answers, the surest first."""
    labels, said, sure = _answers(run)
    found = np.flatnonzero(labels != said)
    return _samples(run, found[np.argsort(-sure[found], kind="stable")][:_EACH])


def _answers(run: Run) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    shares = probabilities(run)
    return run.predictions.labels, shares.argmax(1), shares.max(1)


def probabilities(run: Run) -> NDArray[np.float32]:
    """(N, K) of the model that ships, temperature applied."""
    return softmax(run.predictions.chosen[run.evaluation.chosen.seeds[0]] / run.evaluation.calibration.temperature)


def _samples(run: Run, rows: Iterable[int]) -> list[Sample]:
    shares = probabilities(run)
    classes = run.data.manifest.classes
    stored = [sample for sample in read_samples(run.place) if sample.split == "test"]
    return [Sample(*_picture(run.data.test.images[i]), stored[i].key, classes[run.predictions.labels[i]],
                   classes[int(shares[i].argmax())], float(shares[i].max())) for i in rows]


def _picture(image: NDArray[np.uint8]) -> tuple[str, bool]:
    """A (C, H, W) image as a data: URI, and whether it is small."""
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
