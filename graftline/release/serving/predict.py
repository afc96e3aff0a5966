"""What a user of the model does: image files in, labels and probabilities (or values) out. Needs no torch.

A file is decoded and brought to the stored shape by the very code that made the training data, and the rest of the
preprocessing is inside of the ONNX file, so that an image here is the same numbers as it was in training.
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
"""What counts as an image inside of a folder; a file that is named itself is always tried."""
_BATCH = 32
_THERE = 0.5  # the threshold that training's figures at 0.5 were taken at


@dataclass(frozen=True)
class Answer:
    """What the model says of one file, or why it could not be asked."""

    file: str
    probabilities: dict[str, float]
    """Class or label to probability, the likeliest first; empty for values, and where the file was not readable."""
    error: str = ""
    task: str = DEFAULT_TASK
    values: dict[str, float] = field(default_factory=dict)
    """Of a regression: output to value, in the outputs' order."""

    @property
    def label(self) -> str:
        """The likeliest class; empty where the file was not readable."""
        return next(iter(self.probabilities), "")

    @property
    def labels(self) -> list[str]:
        """Of a multilabel task: the labels whose probability is above one half, the likeliest first."""
        return [name for name, share in self.probabilities.items() if share > _THERE]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `file`, and either `label`, `probability` and `probabilities`, or `error`.

        Multilabel: `labels` and `probabilities`; regression: `values`.
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
        """One line for people: file, label, and up to three probabilities; all values; all labels above one half."""
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
    """Labels image files, or values them.

    Args:
        model: A release folder, or a model.onnx that graftline exported.
        images: Files, and folders that are searched for images.

    Yields:
        One answer a file, in the order given, folders sorted by name.

    Raises:
        RefusedError: No such file or folder, no image in a folder, or a model that is not graftline's.
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
    """A name from outside on a terminal: control characters become visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
