"""Hash of the running code, which must match, as the config and the data must, for a training to resume."""

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

NUMERICS = ("torch", "torchvision", "numpy", "scikit-learn", "onnx", "onnxruntime")
"""Packages whose versions can change numerical results."""


def digest_of(*folders: Path) -> str:
    """Returns a short hash of all Python files in the given folders and of the versions of the `NUMERICS` packages."""
    found = sha256(" ".join(f"{name} {version(name)}" for name in NUMERICS).encode())
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


@lru_cache(maxsize=1)
def code_version() -> str:
    """Returns the hash of the installed graftline package."""
    return digest_of(Path(__file__).parents[1])
