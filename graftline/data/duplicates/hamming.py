"""All pairs of 256 bit hashes within a Hamming distance, none missed.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012):
cut into m bands, two hashes within distance d differ in at most d // m bits of some band. So only those are compared
that agree in a band, or in all of it but one bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]

_BITS = 256
_CHUNK = 2**17  # pairs compared at a time: they stay in the processor's cache


@dataclass(frozen=True)
class _Band:
    """Hashes in the order of some of their bits, then of their labels; those that agree in the bits are a bucket."""

    order: Indices
    words: Words
    """(4, U) in that order, as the label and the bucket of each."""
    label: Indices
    bucket: Indices
    values: Words
    """The bits of each bucket, ascending."""
    starts: Indices
    ends: Indices


def near(ours: Words, theirs: Words | None, limit: int, label: Indices) -> Iterator[Indices]:
    """Finds the pairs within a distance.

    Args:
        ours: (4, U).
        theirs: (4, V), else pairs within `ours` are found.
        limit: The largest distance, from 0 up.
        label: (U,) of `ours`, below 2**32. Pairs within `ours` of one label may be left out. It may change meanwhile.

    Yields:
        (P, 2) indices into both; a pair may come several times.
    """
    if not ours.size or (theirs is not None and not theirs.size):
        return
    for low, high in pairwise(_cuts(limit)):
        left = _band(ours, low, high, label)
        right = left if theirs is None else _band(theirs, low, high, np.zeros(theirs.shape[1], np.int64))
        if left is right:
            yield from _compared(left, right, *_later(left), limit)
        else:
            yield from _compared(left, right, *_partners(left, right, 0), limit)
        for bit in range((high - low) * _apart(limit)):
            yield from _compared(left, right, *_partners(left, right, 1 << bit), limit)


def near_next(words: Words, limit: int) -> Iterator[Indices]:
    """Finds those of the pairs within (4, U) hashes that stand next to each other in some band: most links, at once."""
    mixed = (words[-1] & np.uint64(0xFFFFFFFF)).astype(np.int64)  # so that the order within a bucket is not that given
    for low, high in pairwise(_cuts(limit)):
        band = _band(words, low, high, mixed)
        after = np.arange(1, len(band.order) + 1)
        yield from _compared(band, band, after, np.minimum(1, len(after) - after), limit)


def ranges(starts: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """The numbers from each start on, as many as counted: which start they belong to, and they themselves."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts - starts, counts)


def _apart(limit: int) -> int:
    """Bits that a band may differ in. Too many hashes agree in narrow bands: then take fewer and wider ones."""
    return 0 if limit < 20 else 1


def _cuts(limit: int) -> list[int]:
    """Where bands begin and end: at most 32 bits wide, or a single one of none, in which all agree."""
    if limit >= 64:
        return [0, 0]
    count = max(8, limit // (1 + _apart(limit)) + 1)
    return [_BITS * number // count for number in range(count + 1)]


def _band(words: Words, low: int, high: int, label: Indices) -> _Band:
    value = np.zeros(words.shape[1], np.uint64)
    for column in words.T.copy().view(np.uint8)[:, low // 8 : -(-high // 8)].T:
        value = value << np.uint64(8) | column
    value = value >> np.uint64(-high % 8) & np.uint64((1 << high - low) - 1)
    order = np.argsort(value << np.uint64(32) | label.astype(np.uint64))
    values, starts, bucket, counts = np.unique(value[order], return_index=True, return_inverse=True, return_counts=True)
    return _Band(order, words[:, order], label[order], bucket, values, starts, starts + counts)


def _later(band: _Band) -> tuple[Indices, Indices]:
    """For each hash the place where the next label of its bucket begins, and how many follow in that bucket."""
    last = np.flatnonzero((np.diff(band.bucket) != 0) | (np.diff(band.label) != 0))
    lengths = np.diff(last, prepend=-1, append=len(band.order) - 1)
    begin = np.repeat(np.cumsum(lengths), lengths)
    return begin, band.ends[band.bucket] - begin


def _partners(left: _Band, right: _Band, flip: int) -> tuple[Indices, Indices]:
    """For each hash of `left` the place of the bucket in `right` that differs from its own by `flip`, and its size."""
    wanted = left.values ^ np.uint64(flip)
    at = np.searchsorted(right.values, wanted)
    at[at == len(right.values)] = 0
    hit = right.values[at] == wanted
    if left is right:
        lowest, highest = left.label[left.starts], left.label[left.ends - 1]
        hit &= (wanted > left.values) & (np.minimum(lowest, lowest[at]) < np.maximum(highest, highest[at]))
    counts = np.where(hit, right.ends[at] - right.starts[at], 0)
    return right.starts[at][left.bucket], counts[left.bucket]


def _compared(left: _Band, right: _Band, starts: Indices, counts: Indices, limit: int) -> Iterator[Indices]:
    """Those pairs of a hash of `left` and its partners in `right` that are within the limit."""
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, range(0, int(counts.sum()), _CHUNK)).tolist()
    for begin, end in pairwise([*cuts, len(ends)]):
        row, place = ranges(starts[begin:end], counts[begin:end])
        row += begin
        differ = np.zeros(len(row), np.uint16)
        for words in ((0, 1), (2, 3)):  # half of the bits rule out nearly all
            for word in words:
                differ += np.bitwise_count(left.words[word][row] ^ right.words[word][place])
            kept = np.flatnonzero(differ <= limit)
            row, place, differ = row[kept], place[kept], differ[kept]
        if len(row):
            yield np.stack([left.order[row], right.order[place]], axis=1)
