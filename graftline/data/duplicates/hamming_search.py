"""Exact search for all pairs of 256-bit hashes within a Hamming distance.

It uses multi-index hashing (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR
2012): if hashes are divided into m bands, two hashes within distance d differ in at most d // m bits of some band.
Therefore only hashes that agree in a band, or in all but one of its bits, are compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]

_BITS = 256
_CHUNK = 2**17  # pairs compared at a time, so that they fit the CPU cache


@dataclass(frozen=True)
class _Band:
    """Hashes sorted by the bits of one band, then by label; hashes that agree in these bits form a bucket."""

    order: Indices
    """(U,) indices of the sorted hashes."""
    words: Words
    """(4, U) sorted."""
    label: Indices
    """(U,) label of each sorted hash."""
    bucket: Indices
    """(U,) bucket of each sorted hash."""
    values: Words
    """(B,) bits of each bucket, ascending."""
    starts: Indices
    """(B,) position of each bucket's first hash."""
    ends: Indices
    """(B,) position after each bucket's last hash."""


def find_pairs(left: Words, right: Words | None, max_distance: int, label: Indices) -> Iterator[Indices]:
    """Finds the pairs within a distance.

    Args:
        left: (4, U).
        right: (4, V); if None, pairs within `left` are found.
        max_distance: Largest distance, at least 0.
        label: (U,) labels of `left`, below 2**32. Pairs within `left` that share a label may be omitted. The caller may
            change the labels during the iteration.

    Yields:
        (P, 2) indices into both; a pair may occur several times.
    """
    if not left.size or (right is not None and not right.size):
        return
    for low, high in pairwise(_band_edges(max_distance)):
        band = _sort_band(left, low, high, label)
        other = band if right is None else _sort_band(right, low, high, np.zeros(right.shape[1], np.int64))
        if band is other:
            yield from _compare(band, other, *_later_in_bucket(band), max_distance)
        else:
            yield from _compare(band, other, *_matching_bucket(band, other, 0), max_distance)
        for bit in range((high - low) * _max_band_distance(max_distance)):
            yield from _compare(band, other, *_matching_bucket(band, other, 1 << bit), max_distance)


def find_adjacent_pairs(words: Words, max_distance: int) -> Iterator[Indices]:
    """Finds the pairs within (4, U) hashes that are adjacent when sorted by some band: most links at little cost."""
    mixed = (words[-1] & np.uint64(0xFFFFFFFF)).astype(np.int64)  # a sort within buckets that ignores the input order
    for low, high in pairwise(_band_edges(max_distance)):
        band = _sort_band(words, low, high, mixed)
        after = np.arange(1, len(band.order) + 1)
        yield from _compare(band, band, after, np.minimum(1, len(after) - after), max_distance)


def concatenate_ranges(starts: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Concatenates ranges of `counts` numbers from each of `starts`; returns each number's range, and the numbers."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts - starts, counts)


def _max_band_distance(max_distance: int) -> int:
    """Returns the bits that a band may differ in; 1 for large distances, whose narrow bands would match too often."""
    return 0 if max_distance < 20 else 1


def _band_edges(max_distance: int) -> list[int]:
    """Returns the edges of the bands: at most 32 bits wide, or one empty band in which all hashes agree."""
    if max_distance >= 64:
        return [0, 0]
    count = max(8, max_distance // (1 + _max_band_distance(max_distance)) + 1)
    return [_BITS * number // count for number in range(count + 1)]


def _sort_band(words: Words, low: int, high: int, label: Indices) -> _Band:
    value = np.zeros(words.shape[1], np.uint64)
    for column in words.T.copy().view(np.uint8)[:, low // 8 : -(-high // 8)].T:
        value = value << np.uint64(8) | column
    value = value >> np.uint64(-high % 8) & np.uint64((1 << high - low) - 1)
    order = np.argsort(value << np.uint64(32) | label.astype(np.uint64))
    values, starts, bucket, counts = np.unique(value[order], return_index=True, return_inverse=True, return_counts=True)
    return _Band(order, words[:, order], label[order], bucket, values, starts, starts + counts)


def _later_in_bucket(band: _Band) -> tuple[Indices, Indices]:
    """Returns for each hash where the next label of its bucket begins, and how many hashes follow in that bucket."""
    last = np.flatnonzero((np.diff(band.bucket) != 0) | (np.diff(band.label) != 0))
    lengths = np.diff(last, prepend=-1, append=len(band.order) - 1)
    begin = np.repeat(np.cumsum(lengths), lengths)
    return begin, band.ends[band.bucket] - begin


def _matching_bucket(left: _Band, right: _Band, flipped_bits: int) -> tuple[Indices, Indices]:
    """Returns for each hash of `left` the start and size of the bucket in `right` that differs by `flipped_bits`."""
    wanted = left.values ^ np.uint64(flipped_bits)
    match = np.searchsorted(right.values, wanted)
    match[match == len(right.values)] = 0
    is_match = right.values[match] == wanted
    if left is right:
        lowest, highest = left.label[left.starts], left.label[left.ends - 1]
        is_match &= (wanted > left.values) & (np.minimum(lowest, lowest[match]) < np.maximum(highest, highest[match]))
    counts = np.where(is_match, right.ends[match] - right.starts[match], 0)
    return right.starts[match][left.bucket], counts[left.bucket]


def _compare(left: _Band, right: _Band, starts: Indices, counts: Indices, max_distance: int) -> Iterator[Indices]:
    """Yields the pairs of a hash of `left` and its range in `right` that are within the distance."""
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, range(0, int(counts.sum()), _CHUNK)).tolist()
    for begin, end in pairwise([*cuts, len(ends)]):
        row, partner = concatenate_ranges(starts[begin:end], counts[begin:end])
        row += begin
        distance = np.zeros(len(row), np.uint16)
        for words in ((0, 1), (2, 3)):  # half of the bits rule out nearly all pairs
            for word in words:
                distance += np.bitwise_count(left.words[word][row] ^ right.words[word][partner])
            kept = np.flatnonzero(distance <= max_distance)
            row, partner, distance = row[kept], partner[kept], distance[kept]
        if len(row):
            yield np.stack([left.order[row], right.order[partner]], axis=1)
