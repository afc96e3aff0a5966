"""The split ledger: which split each sample belongs to, for good.

Keyed by the sha256 of the decoded sample, so a copy, a new name or another order changes nothing, and exact duplicates
stand in one split. It also knows the groups and the perceptual hashes that it has seen, so that what belongs to them
finds its split later, also where the first files are gone.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from graftline.data.dataset import LEDGER, SplitName
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text

VERSION = 2
_STRICT: dict[SplitName, int] = {"train": 0, "val": 1, "test": 2}


class Ledger(BaseModel):
    """Sample digest to split. Entries are added, never changed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = VERSION
    seed: int
    """Of the first draw; later ones go on with it."""
    image_size: tuple[int, int]
    """(H, W) that the samples were decoded to: at another size they have other digests."""
    entries: dict[str, SplitName]
    groups: dict[str, SplitName] = {}
    """Group to its strictest split so far."""
    hashes: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}
    """Sample digest to perceptual hash, hexadecimal; of those that were looked at."""

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        version = value.get("schema_version", VERSION)
        if isinstance(version, int) and version > VERSION:
            raise ValueError(f"schema version {version}, this graftline reads up to {VERSION}: upgrade graftline")
        shape = value.get("image_shape")
        if version != 1 or not isinstance(shape, list) or len(shape) != 3:
            return value
        rest = {name: field for name, field in value.items() if name != "image_shape"}
        return {**rest, "schema_version": VERSION, "image_size": shape[1:]}

    def to_json(self) -> str:
        """The one JSON text of this ledger."""
        value: dict[str, Any] = self.model_dump(mode="json")
        return canonical_json(value)

    @property
    def digest(self) -> str:
        """`sha256:...` of the text."""
        return digest_text(self.to_json())


def read(path: Path) -> Ledger:
    """Reads a ledger of this version or an earlier one.

    Args:
        path: The file, or the folder of a dataset artifact.

    Raises:
        RefusedError: Missing, not a ledger, or of a later version.
    """
    path = path / LEDGER if path.is_dir() else path
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")]))
    raise RefusedError(
        f"{path}: not a split ledger: {why}; give the ledger.json of an earlier run, or its dataset artifact's folder"
    )


def rank(seed: int, digest: str) -> str:
    """The key that samples are drawn by: fixed by seed and sample, not by place, name or order."""
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def strictest(splits: Iterable[SplitName]) -> SplitName:
    """Where a sample belongs that stands in several splits: test before val before train."""
    return max(splits, key=_STRICT.__getitem__)


def stricter(one: SplitName, other: SplitName) -> bool:
    """Whether `one` is stricter than `other`."""
    return _STRICT[one] > _STRICT[other]
