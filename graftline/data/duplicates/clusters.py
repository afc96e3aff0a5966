"""Near duplicates by perceptual hash: pairs of images, and the clusters that these link."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graftline.data.duplicates.hamming import Indices, Words, near, near_next, ranges
from graftline.data.images.perceptual import HASH_BYTES

LIMIT = 31
"""Bits of 256 in which near duplicates may differ: PDQ's own."""
SMALL_LIMIT = 16
"""For images up to 64 pixels a side: some 20 bits tell two people's digits 1 apart."""

_SMALL = 64
_MANY = 2**20  # pairs linked or sorted at a time

Hashes = NDArray[np.uint8]


def default_limit(height: int, width: int) -> int:
    """The distance within which images stored as (C, height, width) are near duplicates."""
    if max(height, width) > _SMALL:
        return LIMIT
    return min(SMALL_LIMIT, height * width // 16)  # fewer than 256 pixels have fewer bits to differ in


def near_pairs(hashes: Hashes, limit: int, others: Hashes | None = None) -> Indices:
    """Finds all pairs within a distance.

    Equal hashes stand as one, so that many of them do not make pairs by their square. Within `hashes` only the first of
    them is paired, with what is near and with each further one. Against `others` each of them is, with the first of
    those that are equal on the other side. What is near without being equal, as the frames of a camera that stands
    still, does make so many; `clusters` and `near_any` do without.

    Args:
        hashes: (N, 32).
        limit: Largest Hamming distance, from 0 up.
        others: (M, 32); where given, pairs are found between the two, not within either.

    Returns:
        (P, 2), sorted, no pair twice: indices into `hashes`, the smaller first; or into `hashes` and `others`.
    """
    ours = _distinct(hashes)
    if others is None:
        found = _different(near(ours.words, None, limit, ours.own))
        again = np.flatnonzero(ours.first[ours.group] != np.arange(len(hashes)))
        pairs = [np.sort(ours.first[found], axis=1), np.stack([ours.first[ours.group[again]], again], axis=1)]
    else:
        theirs = _distinct(others)
        found = _different(near(ours.words, theirs.words, limit, ours.own))
        row, member = ours.members(found[:, 0])
        pairs = [np.stack([member, theirs.first[found[row, 1]]], axis=1)]
        row, member = theirs.members(found[:, 1])
        pairs += [np.stack([ours.first[found[row, 0]], member], axis=1)]
    return _different(pairs)


def near_any(hashes: Hashes, others: Hashes, limit: int) -> NDArray[np.bool_]:
    """Finds which hashes have some other one within a distance.

    Args:
        hashes: (N, 32).
        others: (M, 32).
        limit: Largest Hamming distance, from 0 up.

    Returns:
        (N,) truths.
    """
    ours, theirs = _distinct(hashes), _distinct(others)
    size = len(ours.first)
    found = np.zeros(size, np.bool_)
    for pairs in near_next(np.concatenate([ours.words, theirs.words], axis=1), limit):
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        found[low[(low < size) & (high >= size)]] = True
    rest = np.flatnonzero(~found)
    for pairs in near(ours.words[:, rest], theirs.words, limit, rest):
        found[rest[pairs[:, 0]]] = True
    return found[ours.group]


def clusters(hashes: Hashes, limit: int) -> Indices:
    """Puts together what is within a distance, and what is so by way of others.

    Args:
        hashes: (N, 32).
        limit: Largest Hamming distance of a link, from 0 up.

    Returns:
        (N,) for each the smallest index in its cluster; what is near nothing is a cluster of its own.
    """
    ours = _distinct(hashes)
    size = len(ours.first)
    label = ours.own
    # A camera that stands still gives pairs by the square of its frames: their neighbours link them first.
    for search in (near_next(ours.words, limit), near(ours.words, None, limit, label)):
        for found in _gathered(search):
            ends = label[found].T
            links = coo_array((np.ones(len(found), np.int8), (ends[0], ends[1])), shape=(size, size))
            label[:] = connected_components(links, directed=False)[1][label]
    smallest = np.full(size, len(hashes))
    np.minimum.at(smallest, label, ours.first)
    return smallest[label][ours.group]


@dataclass(frozen=True)
class _Distinct:
    """Hashes without repetition."""

    words: Words
    """(4, U)."""
    first: Indices
    """(U,) the smallest index of each."""
    group: Indices
    """(N,) which of them each hash is."""

    @property
    def own(self) -> Indices:
        """(U,) a label of its own for each."""
        return np.arange(len(self.first))

    def members(self, groups: Indices) -> tuple[Indices, Indices]:
        """All hashes of some groups: position in `groups`, and index."""
        counts = np.bincount(self.group)
        row, place = ranges((np.cumsum(counts) - counts)[groups], counts[groups])
        return row, np.argsort(self.group, kind="stable")[place]


def _distinct(hashes: Hashes) -> _Distinct:
    whole = np.ascontiguousarray(hashes).view(f"V{HASH_BYTES}").ravel()
    kept, first, group = np.unique(whole, return_index=True, return_inverse=True)
    words = kept.view(np.uint64).reshape(len(kept), HASH_BYTES // 8)
    return _Distinct(np.ascontiguousarray(words.T), first, group)


def _different(pairs: Iterable[Indices]) -> Indices:
    """Pairs (P, 2) in order, each once; of indices below 2**31."""
    known = np.empty(0, np.int64)
    parts, count = [known], 0
    for part in pairs:
        parts.append(part[:, 0] << 32 | part[:, 1])
        count += len(part)
        if count > max(_MANY, len(known)):
            known = np.unique(np.concatenate(parts))
            parts, count = [known], 0
    known = np.unique(np.concatenate(parts))
    return np.stack([known >> 32, known & 0xFFFFFFFF], axis=1)


def _gathered(pairs: Iterable[Indices]) -> Iterator[Indices]:
    """Parts of a size that is worth the linking, and bounded."""
    parts: list[Indices] = []
    count = 0
    for part in pairs:
        parts.append(part)
        count += len(part)
        if count >= _MANY:
            yield np.concatenate(parts)
            parts, count = [], 0
    if count:
        yield np.concatenate(parts)
