"""Items to split: samples with hashes but without pixels."""

import hashlib
from typing import Any

from graftline.config import Data
from graftline.data.dataset import SplitName
from graftline.data.splits.ledger import Ledger
from graftline.data.splits.splits import Assigned, Item, assign

SIDE = (8, 8)


def picture(name: str, flipped: int | None = None) -> bytes:
    """Returns a perceptual hash of a name, with one bit flipped if `flipped` is its number."""
    found = bytearray(hashlib.sha256(name.encode()).digest())
    if flipped is not None:
        found[flipped // 8] ^= 1 << flipped % 8
    return bytes(found)


def item(name: str, label: str, given: SplitName | None = None, group: str | None = None, phash: bytes = b"") -> Item:
    return Item(name, label, given, hashlib.sha256(name.rstrip("*").encode()).hexdigest(), group, phash)


def items(count: int, given: SplitName | None = None, prefix: str = "") -> list[Item]:
    return [item(f"{prefix}{given}{label}{number}", label, given) for label in "ab" for number in range(count)]


def split(
    found: list[Item], needs_test: bool = True, previous: Ledger | None = None, seed: int = 0, **options: Any
) -> Assigned:
    return assign(found, Data(**options), place="pets", seed=seed, side=SIDE, needs_test=needs_test, previous=previous)


def by_key(found: list[Item], done: Assigned) -> dict[str, SplitName | None]:
    return {one.key: name for one, name in zip(found, done.splits, strict=True)}


def grouped(count: int, size: int, label: str = "a") -> list[Item]:
    return [
        item(f"{label}{group}-{number}", label, group=f"{label}{group}")
        for group in range(count)
        for number in range(size)
    ]
