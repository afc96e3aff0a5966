"""Which code this is: what a training's state, besides config and data, has to agree with to be gone on with."""

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

NUMERICS = ("torch", "torchvision", "numpy", "scikit-learn", "onnx", "onnxruntime")
"""Packages whose version numbers depend on."""


def digest_of(*folders: Path) -> str:
    """Returns a short hash of all Python files in some folders and of the versions in `NUMERICS`."""
    found = sha256(" ".join(f"{name} {version(name)}" for name in NUMERICS).encode())
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


@lru_cache(maxsize=1)
def code_version() -> str:
    """Returns the hash of the library that is running."""
    return digest_of(Path(__file__).parents[1])
