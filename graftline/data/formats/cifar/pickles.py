"""CIFAR's python pickles, read by an unpickler that knows five names, each bound to a stand-in of ours.

Nothing else is looked up. Each stand-in defines `__setstate__`, without which a pickle could set attributes on the
stand-in itself.
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
)  # what the unpickler raises for bytes that are no pickle


class _Kind:
    """Stands in for a numpy dtype: remembers its name, takes no state."""

    def __init__(self, name: object = "", *rest: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class Array:
    """Stands in for a numpy array: keeps the bytes as (N, 3072) uint8 `pixels`, whatever shape was claimed."""

    def __init__(self, *claims: object) -> None:
        self.pixels = np.empty((0, PIXELS), np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, columns_first, data = state
        raw = data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))
        name = kind.name if isinstance(kind, _Kind) else kind
        if name not in ("u1", "uint8") or tuple(shape) != (len(raw) // PIXELS, PIXELS):
            raise pickle.UnpicklingError(f"an array of {name} {shape} in {len(raw):,} bytes")
        self.pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Bytes:
    """Stands in for `_codecs.encode`, by which a later python writes bytes into an old protocol."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"encoding {encoding!r}")
        return text.encode("latin1")

    def __setstate__(self, state: object) -> None:
        pass


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs")
        return _ADMITTED[module, name]


def unpickled(where: Path, data: bytes) -> dict[str, Any]:
    """Reads one of CIFAR's own pickles.

    Args:
        where: For messages.
        data: The file.

    Returns:
        Its mapping; arrays are (N, 3072) uint8.

    Raises:
        RefusedError: Anything else than such a mapping.
    """
    try:
        value = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _DAMAGE as error:
        raise RefusedError(f"{where}: not a CIFAR batch: {error}; download it again from its source") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{where}: not a CIFAR batch: expected a mapping, found {type(value).__name__}")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): item for key, item in value.items()}
