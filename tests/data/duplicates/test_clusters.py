import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graftline.data.duplicates import clusters as room
from graftline.data.duplicates import hamming
from graftline.data.duplicates.clusters import LIMIT, SMALL_LIMIT, clusters, default_limit, near_any, near_pairs
from graftline.data.images.perceptual import perceptual_hash

Hashes = NDArray[np.uint8]
BASE = bytes(range(7, 39))
limits = st.sampled_from([0, 1, 3, 7, 8, SMALL_LIMIT, 19, 20, LIMIT, 40, 63, 64, 130, 256])


def turned(bits: list[int], base: bytes = BASE) -> list[int]:
    """A hash with some of its bits turned."""
    value = int.from_bytes(base, "big")
    for bit in bits:
        value ^= 1 << bit
    return list(value.to_bytes(32, "big"))


def hashes(*rows: list[int]) -> Hashes:
    return np.array(rows, np.uint8)


def thin(bit: int) -> list[int]:
    """31 bits: one alone in its band of 16, two in each other band, so that only that one finds the pair."""
    return [bit, *(start + step for start in range(0, 256, 16) for step in (3, 12) if start != bit // 16 * 16)]


def some(seed: int, count: int, limit: int, repeats: bool = False) -> Hashes:
    """Random hashes, half of them others with about `limit` bits turned, which is where a search goes wrong."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, (count, 256), np.uint8)
    for row in range(max(1, count // 2), count):
        apart = int(np.clip(limit + random.integers(-2, 3), 0 if repeats else 1, 256))
        bits[row] = bits[random.integers(row)]
        bits[row, random.choice(256, apart, replace=False)] ^= 1
    packed = random.permutation(np.packbits(bits, axis=1))
    return packed if repeats else np.unique(packed, axis=0)


def crowd(seed: int, count: int) -> Hashes:
    """Hashes around one, about LIMIT apart."""
    random = np.random.default_rng(seed)
    apart = (random.random((count, 256)) < random.uniform(0.055, 0.08)).astype(np.uint8)
    return np.packbits(apart, axis=1)


def brute(ours: Hashes, theirs: Hashes, limit: int) -> NDArray[np.bool_]:
    apart: NDArray[np.int64] = np.bitwise_count(ours[:, None] ^ theirs[None]).sum(axis=-1, dtype=np.int64)
    return apart <= limit


def test_distances_known_by_hand() -> None:
    found = hashes(turned([]), turned([0]), turned([0, 100, 255]), turned(list(range(60))))
    assert near_pairs(found, 0).tolist() == []
    assert near_pairs(found, 1).tolist() == [[0, 1]]
    assert near_pairs(found, 2).tolist() == [[0, 1], [1, 2]]
    assert near_pairs(found, 3).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert near_pairs(found, 59).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3]]
    assert near_pairs(found, 256).tolist() == [list(pair) for pair in itertools.combinations(range(4), 2)]
    assert near_pairs(hashes(turned([]), turned(list(range(256)))), 255).tolist() == []


@pytest.mark.parametrize("limit", [SMALL_LIMIT, LIMIT])
def test_no_way_to_spread_the_bits_hides_a_pair(limit: int) -> None:
    random = np.random.default_rng(limit)
    spread = [thin(bit)[:limit] for bit in range(256)]
    spread += [random.choice(256, limit, replace=False).tolist() for _ in range(300)]
    spread += [list(range(start, start + limit)) for start in range(256 - limit)]
    even = [round(number * 256 / limit) for number in range(limit)]
    others = hashes(*map(turned, [*spread, even, [bit + 1 for bit in even]]))
    assert near_pairs(hashes(turned([])), limit, others).tolist() == [[0, index] for index in range(len(others))]
    assert not len(near_pairs(hashes(turned([])), limit - 1, others))


@given(st.integers(0, 2**32), st.integers(0, 60), limits, st.sampled_from([1, 7, 2**17]))
@settings(deadline=None)
def test_finds_what_comparing_all_finds(seed: int, count: int, limit: int, chunk: int) -> None:
    found = some(seed, count, limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "_CHUNK", chunk)
        patch.setattr(room, "_MANY", chunk)
        assert near_pairs(found, limit).tolist() == np.argwhere(np.triu(brute(found, found, limit), 1)).tolist()


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 60), limits, st.sampled_from([1, 7, 2**17]))
@settings(deadline=None)
def test_finds_what_comparing_all_finds_between_two(seed: int, count: int, cut: int, limit: int, chunk: int) -> None:
    both = np.random.default_rng(seed).permutation(some(seed, count, limit))
    ours, theirs = both[:cut], np.concatenate([both[cut:], both[: cut // 2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "_CHUNK", chunk)
        patch.setattr(room, "_MANY", chunk)
        assert near_pairs(ours, limit, theirs).tolist() == np.argwhere(brute(ours, theirs, limit)).tolist()
    assert near_any(ours, theirs, limit).tolist() == brute(ours, theirs, limit).any(axis=1).tolist()


@given(st.integers(0, 2**32), st.integers(0, 60), limits, st.sampled_from([1, 5, 2**20]))
@settings(deadline=None)
def test_clusters_are_what_all_pairs_link(seed: int, count: int, limit: int, many: int) -> None:
    for found, within in ((some(seed, count, limit, repeats=True), limit), (crowd(seed, count), LIMIT)):
        links, expected = brute(found, found, within), np.arange(count)
        for _ in found:
            expected = np.where(links, expected, count).min(axis=1, initial=count)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "_MANY", many)
            assert clusters(found, within).tolist() == expected.tolist()


@pytest.mark.parametrize("label", [[0, 1], [1, 0], [0, 0]])
def test_only_pairs_of_one_label_are_left_out(label: list[int]) -> None:
    for bit in range(0, 256, 13):
        words = np.ascontiguousarray(hashes(turned([]), turned(thin(bit))).view(np.uint64).T)
        assert bool(list(hamming.near(words, None, LIMIT, np.array(label)))) == (label != [0, 0])


@given(st.integers(0, 2**32), st.integers(1, 80))
@settings(deadline=None, max_examples=30)
def test_the_order_decides_nothing(seed: int, count: int) -> None:
    found = some(seed, count, LIMIT, repeats=True)
    order = np.random.default_rng(seed).permutation(count)
    label, turned_label = clusters(found, LIMIT), clusters(found[order], LIMIT)
    sets = {frozenset(np.flatnonzero(label == one).tolist()) for one in label}
    assert {frozenset(order[turned_label == one].tolist()) for one in turned_label} == sets
    assert all(np.flatnonzero(turned_label == one)[0] == one for one in turned_label)


def test_a_chain_is_one_cluster() -> None:
    chain = hashes(turned(list(range(60, 90))), turned([]), turned([*range(30), 255]), turned(list(range(60))))
    assert near_pairs(chain, LIMIT).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert clusters(chain, LIMIT).tolist() == [0, 0, 0, 0]
    assert clusters(chain, 30).tolist() == [0, 0, 2, 3]


def test_equal_hashes_are_paired_with_the_first() -> None:
    one, near = turned([]), turned([1, 2])
    found = hashes(near, one, one, near, turned(list(range(99))), one)
    assert near_pairs(found, LIMIT).tolist() == [[0, 1], [0, 3], [1, 2], [1, 5]]
    assert clusters(found, LIMIT).tolist() == [0, 0, 0, 0, 4, 0]
    assert near_pairs(found[:3], LIMIT, found[3:]).tolist() == [[0, 0], [0, 2], [1, 0], [1, 2], [2, 0], [2, 2]]
    assert near_pairs(found[1:3], LIMIT, hashes(near, near)).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_a_flood_of_equal_hashes_makes_no_square_of_pairs() -> None:
    flood = np.repeat(hashes(turned([])), 10_000, axis=0)
    assert near_pairs(flood, LIMIT).tolist() == [[0, index] for index in range(1, 10_000)]
    assert len(near_pairs(flood, LIMIT, flood)) == 19_999
    assert not clusters(flood, LIMIT).any()


def test_a_flood_of_near_hashes_is_linked_without_comparing_all(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    bits = np.repeat(random.integers(0, 2, (1, 256), np.uint8), 10_000, axis=0) ^ (random.random((10_000, 256)) < 0.03)
    frames, strangers = np.packbits(bits, axis=1), random.integers(0, 256, (500, 32), np.uint8)
    compared = 0

    def ranges(starts: hamming.Indices, counts: hamming.Indices) -> tuple[hamming.Indices, hamming.Indices]:
        nonlocal compared
        compared += int(counts.sum())
        return original(starts, counts)

    original = hamming.ranges
    monkeypatch.setattr(hamming, "ranges", ranges)
    label = clusters(np.concatenate([frames, strangers]), LIMIT)
    assert not label[:10_000].any()
    assert len(set(label.tolist())) == 501
    near = near_any(np.concatenate([frames[:8000], strangers]), frames[8000:], LIMIT)
    assert near.tolist() == [True] * 8000 + [False] * 500
    assert compared < len(frames) ** 2 / 4


@pytest.mark.parametrize("limit", [0, SMALL_LIMIT, LIMIT, 64])
def test_none_and_one(limit: int) -> None:
    none, one = np.empty((0, 32), np.uint8), hashes(turned([]))
    assert clusters(none, limit).shape == (0,)
    assert clusters(one, limit).tolist() == [0]
    assert near_any(one, none, limit).tolist() == [False]
    assert near_any(none, one, limit).tolist() == []
    for ours, theirs in ((none, None), (one, None), (none, one), (one, none)):
        assert near_pairs(ours, limit, theirs).shape == (0, 2)


def test_small_images_must_be_nearer() -> None:
    assert (default_limit(28, 28), default_limit(64, 64)) == (SMALL_LIMIT, SMALL_LIMIT)
    assert (default_limit(65, 8), default_limit(224, 224)) == (LIMIT, LIMIT)
    assert (default_limit(16, 16), default_limit(12, 12), default_limit(8, 8)) == (SMALL_LIMIT, 9, 4)


def test_digits_are_not_taken_for_one_another(shared_data: Path) -> None:
    raw = gzip.decompress((shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    digits = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    found = np.frombuffer(b"".join(map(perceptual_hash, digits)), np.uint8).reshape(-1, 32)
    label = clusters(found, default_limit(28, 28))
    assert (label != np.arange(len(label))).sum() <= 5
