"""The split ledger: which split each sample belongs to, for good.

Keyed by the sha256 of the decoded sample, so a copy, a new name or another order changes nothing, and exact duplicates
stand in one split. The draw goes class by class in an order that only `seed` and the samples themselves decide.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from graftline.dataset import LEDGER, SplitName
from graftline.errors import RefusedError
from graftline.manifest import canonical_json, digest_text

_STRICT: dict[SplitName, int] = {"train": 0, "val": 1, "test": 2}


class Ledger(BaseModel):
    """Sample digest to split. Entries are added, never changed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: int = 1
    seed: int
    """Of the first draw; later ones go on with it."""
    image_shape: tuple[int, int, int]
    """(C, H, W) that the samples were decoded to: at another shape they have other digests."""
    entries: dict[str, SplitName]

    def to_json(self) -> str:
        """The one JSON text of this ledger."""
        value: dict[str, Any] = self.model_dump(mode="json")
        return canonical_json(value)

    @property
    def digest(self) -> str:
        """`sha256:...` of the text."""
        return digest_text(self.to_json())


def read(folder: Path) -> Ledger:
    """Reads the ledger of a dataset artifact.

    Raises:
        RefusedError: Missing or not a ledger.
    """
    path = folder / LEDGER
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RefusedError(f"{path}: not a split ledger: {error}") from None


def rank(seed: int, digest: str) -> str:
    """The key that samples are drawn by: fixed by seed and sample, not by place, name or order."""
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def strictest(splits: Sequence[SplitName]) -> SplitName:
    """Where a sample belongs that stands in several splits: test before val before train."""
    return max(splits, key=_STRICT.__getitem__)


def draw(label_of: Mapping[str, str], known: Mapping[str, SplitName], *, seed: int, val_fraction: float,
         test_fraction: float) -> dict[str, SplitName]:
    """Assigns samples to splits, stratified by class.

    Args:
        label_of: Digest to class, of all distinct samples that may be drawn from, the known ones too.
        known: Digests that have their split already; they count towards the shares and do not move.
        seed: Decides the order together with the digests.
        val_fraction: Share of a class's distinct samples that becomes validation; 0 draws none.
        test_fraction: Likewise for test.

    Returns:
        A split for each digest of `label_of`, known ones as they were. A class of at least 3 has at least one of each
        kind that is drawn and one for training; a class of 2 gets one for training and one for test, else validation.
    """
    classes: dict[str, list[str]] = defaultdict(list)
    for digest, label in label_of.items():
        classes[label].append(digest)
    splits: dict[str, SplitName] = {}
    for digests in classes.values():
        have = Counter(known[digest] for digest in digests if digest in known)
        test = _share(len(digests), test_fraction, len(digests) - 1)
        val = _share(len(digests), val_fraction, len(digests) - 1 - test)
        fresh = sorted((digest for digest in digests if digest not in known), key=lambda digest: rank(seed, digest))
        cut = max(0, test - have["test"])
        until = cut + max(0, val - have["val"])
        for position, digest in enumerate(fresh):
            splits[digest] = "test" if position < cut else "val" if position < until else "train"
        splits.update({digest: known[digest] for digest in digests if digest in known})
    return splits


def _share(count: int, fraction: float, most: int) -> int:
    return min(max(1, round(fraction * count)), most) if fraction > 0 and most > 0 else 0
