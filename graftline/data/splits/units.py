"""What may not be torn apart: equal pictures, near duplicates and groups; each connected set of them is one unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graftline.data.dataset import SplitName
from graftline.data.duplicates.clusters import clusters, default_limit, near_any
from graftline.data.splits.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded sample."""

    key: str
    label: str
    given: SplitName | None
    """The split that the data give it."""
    digest: str
    group: str | None = None
    """What must not be split: a patient, a camera, a video."""
    phash: bytes = b""
    """32 bytes of perceptual hash; empty where near duplicates are not looked for."""


@dataclass(frozen=True)
class Units:
    """Numbers that mean nothing but 'the same'."""

    of: dict[str, int]
    """Digest to unit; also of digests that only the ledger has."""
    of_group: dict[str, int]
    """Group to unit."""
    cluster: dict[str, int]
    """Digest to near-duplicate cluster, of those that have a hash; also of digests that only the ledger has."""


def find(items: Sequence[Item], previous: Ledger | None, side: tuple[int, int]) -> Units:
    """Finds the units of all items, and of what the ledger has hashes of, be the files there or not.

    The hashes of files that are gone count, because a test image may live on in a frozen test set.

    Args:
        items: Of the data as they are now.
        previous: The ledger of an earlier run.
        side: (H, W) of the decoded samples, which decides how near is near.
    """
    hashes = {item.digest: item.phash for item in items if item.phash}
    if hashes and previous is not None:
        hashes = {**{digest: bytes.fromhex(text) for digest, text in previous.hashes.items()}, **hashes}
    cluster = _clusters(hashes, default_limit(*side))
    number = {digest: row for row, digest in enumerate(dict.fromkeys([*cluster, *(item.digest for item in items)]))}
    first: dict[int, int] = {}
    group: dict[str, int] = {}
    links = [(number[digest], first.setdefault(each, number[digest])) for digest, each in cluster.items()]
    links += [(number[item.digest], group.setdefault(item.group, number[item.digest])) for item in items if item.group]
    unit = _components(links, len(number))
    return Units(
        {digest: unit[row] for digest, row in number.items()}, {name: unit[row] for name, row in group.items()}, cluster
    )


def leaked(items: Sequence[Item], tested: Sequence[Item], side: tuple[int, int]) -> list[bool]:
    """Which source items stand among the target's test items, equal or nearly so.

    Args:
        items: Of the source.
        tested: The target's test split.
        side: (H, W) of the decoded samples, which decides how near is near.

    Returns:
        One truth an item.
    """
    digests = {item.digest for item in tested}
    ours, theirs = (sorted({item.phash for item in some if item.phash}) for some in (items, tested))
    limit = default_limit(*side)
    near: set[bytes] = set()
    if ours and theirs:
        near = {ours[row] for row in np.flatnonzero(near_any(_rows(ours), _rows(theirs), limit)).tolist()}
    return [item.digest in digests or item.phash in near for item in items]


def _clusters(hashes: Mapping[str, bytes], limit: int) -> dict[str, int]:
    different = sorted(set(hashes.values()))
    if not different:
        return {}
    of_hash = dict(zip(different, clusters(_rows(different), limit).tolist(), strict=True))
    return {digest: of_hash[found] for digest, found in hashes.items()}


def _rows(hashes: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 32)


def _components(links: Sequence[tuple[int, int]], count: int) -> list[int]:
    """The number of its connected component for each of `count` nodes."""
    ends = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), np.int8), (ends[0], ends[1])), shape=(count, count))
    found: list[int] = connected_components(graph, directed=False)[1].tolist()
    return found
