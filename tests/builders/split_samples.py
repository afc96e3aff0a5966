"""Decoded samples without pixels, and their assignment to splits."""

import hashlib
from typing import Any

from graftline.config import Data
from graftline.data.dataset import SplitName
from graftline.data.splits.ledger import Ledger
from graftline.data.splits.split_groups import SplitSample
from graftline.data.splits.split_samples import SplitResult, SplitSettings, split_samples

IMAGE_SIZE = (8, 8)


def phash_of(name: str, flipped_bit: int | None = None) -> bytes:
    """Returns the perceptual hash of an image, optionally with one bit flipped."""
    phash = bytearray(hashlib.sha256(name.encode()).digest())
    if flipped_bit is not None:
        phash[flipped_bit // 8] ^= 1 << flipped_bit % 8
    return bytes(phash)


def make_sample(
    name: str, label: str, predefined: SplitName | None = None, group: str | None = None, phash: bytes = b""
) -> SplitSample:
    """Returns a sample; names that differ only in trailing asterisks have the same digest."""
    digest = hashlib.sha256(name.rstrip("*").encode()).hexdigest()
    return SplitSample(name, label, predefined, digest, group, phash)


def make_samples(count: int, predefined: SplitName | None = None, prefix: str = "") -> list[SplitSample]:
    """Returns `count` samples of each of the classes a and b."""
    return [
        make_sample(f"{prefix}{predefined}{label}{number}", label, predefined)
        for label in "ab"
        for number in range(count)
    ]


def make_groups(count: int, size: int, label: str = "a") -> list[SplitSample]:
    """Returns `count` groups of `size` samples of one class."""
    return [
        make_sample(f"{label}{group}-{number}", label, group=f"{label}{group}")
        for group in range(count)
        for number in range(size)
    ]


def split(
    samples: list[SplitSample],
    needs_test: bool = True,
    previous: Ledger | None = None,
    seed: int = 0,
    **options: Any,
) -> SplitResult:
    settings = SplitSettings(Data(**options), "pets", seed, IMAGE_SIZE, needs_test=needs_test, previous=previous)
    return split_samples(samples, settings)


def splits_by_key(samples: list[SplitSample], result: SplitResult) -> dict[str, SplitName | None]:
    return {sample.key: split for sample, split in zip(samples, result.splits, strict=True)}
