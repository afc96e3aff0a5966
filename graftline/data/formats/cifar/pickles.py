"""CIFAR's Python pickles, read by an unpickler that resolves five names only, each to a harmless substitute.

Every substitute defines `__setstate__`; without it a pickle could set attributes on the substitute itself.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from graftline.runtime.errors import RefusedError

PIXELS = 3 * 32 * 32
"""Bytes of one image."""
_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
)  # what the unpickler raises for bytes that are not a pickle


class _DtypeSubstitute:
    """Replaces a numpy dtype: keeps its name and ignores its state."""

    def __init__(self, name: object = "", *rest: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class PixelArray:
    """Replaces a numpy array: holds (N, 3072) uint8 `pixels`, whatever shape the pickle declares."""

    def __init__(self, *arguments: object) -> None:
        self.pixels = np.empty((0, PIXELS), np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        raw = data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))
        name = dtype.name if isinstance(dtype, _DtypeSubstitute) else dtype
        if name not in ("u1", "uint8") or tuple(shape) != (len(raw) // PIXELS, PIXELS):
            raise pickle.UnpicklingError(f"an array of {name} {shape} in {len(raw):,} bytes")
        self.pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if is_fortran else "C")


class _EncodeSubstitute:
    """Replaces `_codecs.encode`, with which Python 3 writes bytes in old pickle protocols."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"encoding {encoding!r}")
        return text.encode("latin1")

    def __setstate__(self, state: object) -> None:
        pass


_SUBSTITUTES: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): PixelArray,
    ("numpy._core.multiarray", "_reconstruct"): PixelArray,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _DtypeSubstitute,
    ("_codecs", "encode"): _EncodeSubstitute,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _SUBSTITUTES:
            raise pickle.UnpicklingError(f"it imports {module}.{name}, which a CIFAR batch does not need")
        return _SUBSTITUTES[module, name]


def load_pickle(file: Path, data: bytes) -> dict[str, Any]:
    """Reads one of CIFAR's pickles.

    Args:
        file: For messages.
        data: Content of the file.

    Returns:
        Its mapping. Arrays become `PixelArray`.

    Raises:
        RefusedError: The content is anything but such a mapping.
    """
    try:
        value = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _DAMAGE as error:
        raise RefusedError(f"{file}: not a CIFAR batch: {error}; download it again from its source") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{file}: not a CIFAR batch: expected a mapping, found {type(value).__name__}")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): item for key, item in value.items()}
