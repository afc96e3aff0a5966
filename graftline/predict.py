"""What a user of the model does: image files in, labels and probabilities out. Needs no torch.

A file is decoded and brought to the stored shape by the very code that made the training data, and the rest of the
preprocessing is inside of the ONNX file, so that an image here is the same numbers as it was in training.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from graftline import onnx_file
from graftline.errors import RefusedError
from graftline.ingest.decode import UnreadableError, pixels
from graftline.onnx_file import OnnxModel

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""What counts as an image inside of a folder; a file that is named itself is always tried."""
_BATCH = 32


@dataclass(frozen=True)
class Answer:
    """What the model says of one file, or why it could not be asked."""

    file: str
    probabilities: dict[str, float]
    """Class to probability, the likeliest first; empty where the file was not readable."""
    error: str = ""

    @property
    def label(self) -> str:
        """The likeliest class; empty where the file was not readable."""
        return next(iter(self.probabilities), "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `file`, and either `label`, `probability` and `probabilities`, or `error`."""
        if self.error:
            return {"file": self.file, "error": self.error}
        return {"file": self.file, "label": self.label, "probability": self.probabilities[self.label],
                "probabilities": self.probabilities}

    def as_line(self) -> str:
        """One line for people: file, label, and up to three probabilities."""
        if self.error:
            return f"{_shown(self.file)}: not readable: {self.error}"
        best = islice(self.probabilities.items(), 3)
        return f"{_shown(self.file)}: " + ", ".join(f"{_shown(name)} {share:.1%}" for name, share in best)


def predict(model: Path, images: Sequence[Path]) -> Iterator[Answer]:
    """Labels image files.

    Args:
        model: A release folder, or a model.onnx that graftline exported.
        images: Files, and folders that are searched for images.

    Yields:
        One answer a file, in the order given, folders sorted by name.

    Raises:
        RefusedError: No such file or folder, no image in a folder, or a model that is not graftline's.
    """
    files = [file for place in images for file in _files(place)]
    opened = onnx_file.load(model)
    for start in range(0, len(files), _BATCH):
        yield from _batch(opened, files[start:start + _BATCH])


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
            arrays.append(pixels(file.open("rb"), model.facts.input.stored))
        except (UnreadableError, OSError) as error:
            errors[file] = str(error)
    shape = model.facts.input.stored
    rows = iter(model.run(np.stack(arrays) if arrays else np.empty((0, *shape), np.uint8))[1])
    for file in files:
        if file in errors:
            yield Answer(str(file), {}, errors[file])
            continue
        row = next(rows)
        yield Answer(str(file), {model.facts.classes[i]: float(row[i]) for i in np.argsort(-row, kind="stable")})


def _shown(text: str) -> str:
    """A name from outside on a terminal: control characters become visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
