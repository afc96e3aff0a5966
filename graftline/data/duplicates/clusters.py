"""Pairs and clusters of near duplicates, by the Hamming distance of their perceptual hashes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graftline.data.duplicates.hamming_search import (
    Indices,
    Words,
    concatenate_ranges,
    find_adjacent_pairs,
    find_pairs,
)
from graftline.data.images.perceptual import HASH_BYTES

MAX_DISTANCE = 31
"""Largest number of differing bits, of 256, between near duplicates: the threshold of PDQ."""
SMALL_MAX_DISTANCE = 16
"""The same for images of up to 64 pixels a side: two people's handwritten digits 1 differ in some 20 bits."""

_SMALL_SIDE = 64
_BATCH = 2**20  # pairs linked or sorted at a time

Hashes = NDArray[np.uint8]


def default_max_distance(height: int, width: int) -> int:
    """Returns the largest Hamming distance between near duplicates stored as (C, height, width)."""
    if max(height, width) > _SMALL_SIDE:
        return MAX_DISTANCE
    return min(SMALL_MAX_DISTANCE, height * width // 16)  # fewer than 256 pixels have fewer bits to differ in


def find_near_pairs(hashes: Hashes, max_distance: int, others: Hashes | None = None) -> Indices:
    """Finds all pairs within a distance.

    Equal hashes are represented by one of them, so that n copies do not produce n**2 pairs. Within `hashes`, only the
    first of them is paired, with its near duplicates and with each of its copies. Against `others`, each of them is
    paired with the first of the equal hashes in `others`. Near duplicates that are not equal, such as the frames of a
    fixed camera, do produce that many pairs; `find_clusters` and `has_near_duplicate` avoid them.

    Args:
        hashes: (N, 32).
        max_distance: Largest Hamming distance, at least 0.
        others: (M, 32); if given, pairs are found between the two arrays and not within either.

    Returns:
        (P, 2), sorted and unique: indices into `hashes`, the smaller one first, or into `hashes` and `others`.
    """
    left = _deduplicate(hashes)
    if others is None:
        found = _sorted_unique(find_pairs(left.words, None, max_distance, left.labels))
        copies = np.flatnonzero(left.first[left.inverse] != np.arange(len(hashes)))
        pairs = [np.sort(left.first[found], axis=1), np.stack([left.first[left.inverse[copies]], copies], axis=1)]
    else:
        right = _deduplicate(others)
        found = _sorted_unique(find_pairs(left.words, right.words, max_distance, left.labels))
        row, copy = left.copies_of(found[:, 0])
        pairs = [np.stack([copy, right.first[found[row, 1]]], axis=1)]
        row, copy = right.copies_of(found[:, 1])
        pairs += [np.stack([left.first[found[row, 0]], copy], axis=1)]
    return _sorted_unique(pairs)


def has_near_duplicate(hashes: Hashes, others: Hashes, max_distance: int) -> NDArray[np.bool_]:
    """Finds which hashes have at least one of `others` within a distance.

    Args:
        hashes: (N, 32).
        others: (M, 32).
        max_distance: Largest Hamming distance, at least 0.

    Returns:
        (N,) booleans.
    """
    left, right = _deduplicate(hashes), _deduplicate(others)
    size = len(left.first)
    is_near = np.zeros(size, np.bool_)
    for pairs in find_adjacent_pairs(np.concatenate([left.words, right.words], axis=1), max_distance):
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        is_near[low[(low < size) & (high >= size)]] = True
    rest = np.flatnonzero(~is_near)
    for pairs in find_pairs(left.words[:, rest], right.words, max_distance, rest):
        is_near[rest[pairs[:, 0]]] = True
    return is_near[left.inverse]


def find_clusters(hashes: Hashes, max_distance: int) -> Indices:
    """Clusters hashes by single linkage: hashes within a distance share a cluster, directly or through others.

    Args:
        hashes: (N, 32).
        max_distance: Largest Hamming distance of a link, at least 0.

    Returns:
        (N,) the smallest index in each hash's cluster; a hash without near duplicates is its own cluster.
    """
    distinct = _deduplicate(hashes)
    size = len(distinct.first)
    labels = distinct.labels
    # The frames of a fixed camera produce n**2 pairs: linking neighbors first leaves few of them to compare.
    for search in (
        find_adjacent_pairs(distinct.words, max_distance),
        find_pairs(distinct.words, None, max_distance, labels),
    ):
        for pairs in _batched(search):
            ends = labels[pairs].T
            links = coo_array((np.ones(len(pairs), np.int8), (ends[0], ends[1])), shape=(size, size))
            labels[:] = connected_components(links, directed=False)[1][labels]  # in place, the search reads it
    smallest = np.full(size, len(hashes))
    np.minimum.at(smallest, labels, distinct.first)
    return smallest[labels][distinct.inverse]


@dataclass(frozen=True)
class _DistinctHashes:
    """Hashes without repetition, as `np.unique` returns them."""

    words: Words
    """(4, U)."""
    first: Indices
    """(U,) smallest index of each."""
    inverse: Indices
    """(N,) index of each hash among the distinct ones."""

    @property
    def labels(self) -> Indices:
        """(U,) a different label for each."""
        return np.arange(len(self.first))

    def copies_of(self, distinct: Indices) -> tuple[Indices, Indices]:
        """Returns all copies of some distinct hashes: position in `distinct`, and index among all hashes."""
        counts = np.bincount(self.inverse)
        row, position = concatenate_ranges((np.cumsum(counts) - counts)[distinct], counts[distinct])
        return row, np.argsort(self.inverse, kind="stable")[position]


def _deduplicate(hashes: Hashes) -> _DistinctHashes:
    rows = np.ascontiguousarray(hashes).view(f"V{HASH_BYTES}").ravel()
    unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    words = unique.view(np.uint64).reshape(len(unique), HASH_BYTES // 8)
    return _DistinctHashes(np.ascontiguousarray(words.T), first, inverse)


def _sorted_unique(batches: Iterable[Indices]) -> Indices:
    """Returns the pairs (P, 2) sorted and without repetition; indices must be below 2**31."""
    known = np.empty(0, np.int64)
    parts, count = [known], 0
    for pairs in batches:
        parts.append(pairs[:, 0] << 32 | pairs[:, 1])
        count += len(pairs)
        if count > max(_BATCH, len(known)):
            known = np.unique(np.concatenate(parts))
            parts, count = [known], 0
    known = np.unique(np.concatenate(parts))
    return np.stack([known >> 32, known & 0xFFFFFFFF], axis=1)


def _batched(batches: Iterable[Indices]) -> Iterator[Indices]:
    """Concatenates small batches of pairs, so that linking is worthwhile and memory is bounded."""
    parts: list[Indices] = []
    count = 0
    for pairs in batches:
        parts.append(pairs)
        count += len(pairs)
        if count >= _BATCH:
            yield np.concatenate(parts)
            parts, count = [], 0
    if count:
        yield np.concatenate(parts)
