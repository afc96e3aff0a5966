"""Predicts labels with probabilities, or values, for image files. This module does not require torch.

The function that decodes and resizes the training images also decodes and resizes these files, and the ONNX file
contains the rest of the preprocessing, so an image gives the same network input as in training.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from graftline.config import DEFAULT_TASK
from graftline.data.images.decode import UnreadableError, decode_image
from graftline.data.labels import LABEL_TYPES
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import OnnxModel
from graftline.runtime.errors import RefusedError

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""File name extensions of images in a folder; files that are given by name may have any extension."""
_BATCH = 32
_THERE = 0.5  # probability threshold of a label, the same as in the evaluation


@dataclass(frozen=True)
class Answer:
    """Prediction for one file, or the reason why the file could not be read."""

    file: str
    probabilities: dict[str, float]
    """Probabilities by class or label in descending order; empty for regression and for unreadable files."""
    error: str = ""
    task: str = DEFAULT_TASK
    values: dict[str, float] = field(default_factory=dict)
    """Values by output name in the order of the outputs, for regression only."""

    @property
    def label(self) -> str:
        """Most probable class; empty if the file was not readable."""
        return next(iter(self.probabilities), "")

    @property
    def labels(self) -> list[str]:
        """Labels with a probability above 0.5 in descending order of probability, for multilabel tasks."""
        return [name for name, share in self.probabilities.items() if share > _THERE]

    def as_dict(self) -> dict[str, Any]:
        """Returns the prediction as a JSON-serializable dict.

        The keys are `file` and, for classification, `label`, `probability`, and `probabilities`; for multilabel tasks,
        `labels` and `probabilities`; for regression, `values`; for unreadable files, `error`.
        """
        if self.error:
            return {"file": self.file, "error": self.error}
        if LABEL_TYPES[self.task].is_numeric:
            return {"file": self.file, "values": self.values}
        if LABEL_TYPES[self.task].is_multi_hot:
            return {"file": self.file, "labels": self.labels, "probabilities": self.probabilities}
        return {
            "file": self.file,
            "label": self.label,
            "probability": self.probabilities[self.label],
            "probabilities": self.probabilities,
        }

    def as_line(self) -> str:
        """Returns the prediction as one line of text.

        The line contains the file and the three most probable classes, all labels with a probability above 0.5, or all
        values.
        """
        if self.error:
            return f"{_shown(self.file)}: not readable: {self.error}"
        if LABEL_TYPES[self.task].is_numeric:
            return f"{_shown(self.file)}: " + ", ".join(f"{_shown(n)} {value:.5g}" for n, value in self.values.items())
        if LABEL_TYPES[self.task].is_multi_hot:
            there = [f"{_shown(name)} {self.probabilities[name]:.1%}" for name in self.labels]
            return f"{_shown(self.file)}: {', '.join(there) or 'no label'}"
        best = islice(self.probabilities.items(), 3)
        return f"{_shown(self.file)}: " + ", ".join(f"{_shown(name)} {share:.1%}" for name, share in best)


def predict(model: Path, images: Sequence[Path]) -> Iterator[Answer]:
    """Predicts the labels or values of image files.

    Args:
        model: A release folder, or a `model.onnx` that graftline exported.
        images: Image files, and folders that are searched recursively for images.

    Yields:
        One prediction per file, in the given order; files of a folder are sorted by name.

    Raises:
        RefusedError: A file or folder does not exist, a folder contains no images, or graftline did not export the
            model.
    """
    files = [file for place in images for file in _files(place)]
    opened = model_file.load(model)
    for start in range(0, len(files), _BATCH):
        yield from _batch(opened, files[start : start + _BATCH])


def _files(place: Path) -> Iterable[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise RefusedError(f"{place}: no such file or folder; give image files, or folders of them")
    found = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise RefusedError(f"{place}: holds no image ({', '.join(SUFFIXES)}); give image files, or folders of them")
    return found


def _batch(model: OnnxModel, files: Sequence[Path]) -> Iterator[Answer]:
    arrays = []
    errors: dict[Path, str] = {}
    for file in files:
        try:
            arrays.append(decode_image(file.open("rb"), model.facts.input.stored))
        except (UnreadableError, OSError) as error:
            errors[file] = str(error)
    shape = model.facts.input.stored
    rows = iter(model.run(np.stack(arrays) if arrays else np.empty((0, *shape), np.uint8))[1])
    task, names = model.facts.task, model.facts.classes
    for file in files:
        if file in errors:
            yield Answer(str(file), {}, errors[file], task)
            continue
        row = next(rows)
        if LABEL_TYPES[task].is_numeric:
            yield Answer(str(file), {}, task=task, values=dict(zip(names, map(float, row), strict=True)))
        else:
            yield Answer(str(file), {names[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}, task=task)


def _shown(text: str) -> str:
    """Returns a text with its control characters escaped, for safe output to a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
