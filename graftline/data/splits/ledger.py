"""The split ledger: which split each sample belongs to, across runs.

It is keyed by the sha256 of the decoded sample, so copies, renamed files, and another file order change nothing, and
exact duplicates share one split. It also keeps the groups and perceptual hashes of earlier samples, so that new members
of a group and new near duplicates join their split even after the first files are deleted.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from graftline.data.dataset import LEDGER, SplitName
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text
from graftline.storage import access

VERSION = 2
_STRICTNESS: dict[SplitName, int] = {"train": 0, "val": 1, "test": 2}


class Ledger(BaseModel):
    """Sample digest to split. Entries are added, never changed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = VERSION
    seed: int
    """Seed of the first draw, reused by later ones."""
    image_size: tuple[int, int]
    """(H, W) of the decoded samples; samples have other digests at another size."""
    entries: dict[str, SplitName]
    groups: dict[str, SplitName] = {}
    """Group to its strictest split so far."""
    hashes: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}
    """Sample digest to perceptual hash, hexadecimal; only of samples that were checked for near duplicates."""

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, value: Any) -> Any:
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
        """Returns the canonical JSON of this ledger."""
        value: dict[str, Any] = self.model_dump(mode="json")
        return canonical_json(value)

    @property
    def digest(self) -> str:
        """`sha256:...` of the canonical JSON."""
        return digest_text(self.to_json())


def read_ledger(path: Path) -> Ledger:
    """Reads a ledger of this version or an earlier one.

    Args:
        path: The file, or the folder of a dataset artifact.

    Raises:
        RefusedError: The file is missing, not a ledger, or of a later version.
    """
    path = path / LEDGER if path.is_dir() else path
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")]))
    raise RefusedError(
        f"{path}: not a split ledger: {reason}; pass the ledger.json of an earlier run or the folder of its dataset "
        "artifact"
    )


def read_previous_ledger(uri: str | None, download_folder: Path) -> Ledger | None:
    """Reads the ledger that a config names; returns None if it names none.

    Args:
        uri: The ledger's file, or the folder of a dataset artifact; local or gs://.
        download_folder: Folder that a file from a bucket is downloaded to.

    Raises:
        RefusedError: The file cannot be read or is not a ledger.
    """
    return None if uri is None else read_ledger(access.local(ledger_uri(uri), download_folder))


def ledger_uri(uri: str) -> str:
    """Returns the location of the ledger file, given the file itself or its folder."""
    return uri if uri.endswith(".json") else f"{uri.rstrip('/')}/{LEDGER}"


def sampling_key(seed: int, digest: str) -> str:
    """Returns the key that samples are sorted by before a draw; it depends on the seed and the sample only."""
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def strictest(splits: Iterable[SplitName]) -> SplitName:
    """Returns the strictest of some splits: test before val before train."""
    return max(splits, key=_STRICTNESS.__getitem__)


def is_stricter(split: SplitName, other: SplitName) -> bool:
    """Whether `split` is stricter than `other`."""
    return _STRICTNESS[split] > _STRICTNESS[other]
