import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graftline.data.duplicates import clusters, hamming_search
from graftline.data.duplicates.clusters import (
    MAX_DISTANCE,
    SMALL_MAX_DISTANCE,
    default_max_distance,
    find_clusters,
    find_near_pairs,
    has_near_duplicate,
)
from graftline.data.images.perceptual import perceptual_hash

Hashes = NDArray[np.uint8]
BASE = bytes(range(7, 39))
max_distances = st.sampled_from([0, 1, 3, 7, 8, SMALL_MAX_DISTANCE, 19, 20, MAX_DISTANCE, 40, 63, 64, 130, 256])


def flip_bits(bits: list[int], base: bytes = BASE) -> list[int]:
    """Returns a hash with some bits flipped."""
    value = int.from_bytes(base, "big")
    for bit in bits:
        value ^= 1 << bit
    return list(value.to_bytes(32, "big"))


def stack_hashes(*rows: list[int]) -> Hashes:
    return np.array(rows, np.uint8)


def bits_found_by_one_band(bit: int) -> list[int]:
    """Returns 31 bits: one in its band of 16, two in every other band, so that only one band finds the pair."""
    return [bit, *(start + step for start in range(0, 256, 16) for step in (3, 12) if start != bit // 16 * 16)]


def random_hashes(seed: int, count: int, max_distance: int, repeats: bool = False) -> Hashes:
    """Returns random hashes, half of them copies with about `max_distance` flipped bits, where a search may fail."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, (count, 256), np.uint8)
    for row in range(max(1, count // 2), count):
        distance = int(np.clip(max_distance + random.integers(-2, 3), 0 if repeats else 1, 256))
        bits[row] = bits[random.integers(row)]
        bits[row, random.choice(256, distance, replace=False)] ^= 1
    packed = random.permutation(np.packbits(bits, axis=1))
    return packed if repeats else np.unique(packed, axis=0)


def dense_hashes(seed: int, count: int) -> Hashes:
    """Returns hashes around a common one, with distances of about MAX_DISTANCE."""
    random = np.random.default_rng(seed)
    distance = (random.random((count, 256)) < random.uniform(0.055, 0.08)).astype(np.uint8)
    return np.packbits(distance, axis=1)


def is_near_brute_force(left: Hashes, right: Hashes, max_distance: int) -> NDArray[np.bool_]:
    distance: NDArray[np.int64] = np.bitwise_count(left[:, None] ^ right[None]).sum(axis=-1, dtype=np.int64)
    return distance <= max_distance


def test_finds_pairs_of_known_distances() -> None:
    hash_array = stack_hashes(flip_bits([]), flip_bits([0]), flip_bits([0, 100, 255]), flip_bits(list(range(60))))
    assert find_near_pairs(hash_array, 0).tolist() == []
    assert find_near_pairs(hash_array, 1).tolist() == [[0, 1]]
    assert find_near_pairs(hash_array, 2).tolist() == [[0, 1], [1, 2]]
    assert find_near_pairs(hash_array, 3).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert find_near_pairs(hash_array, 59).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3]]
    assert find_near_pairs(hash_array, 256).tolist() == [list(pair) for pair in itertools.combinations(range(4), 2)]
    assert find_near_pairs(stack_hashes(flip_bits([]), flip_bits(list(range(256)))), 255).tolist() == []


@pytest.mark.parametrize("max_distance", [SMALL_MAX_DISTANCE, MAX_DISTANCE])
def test_finds_pairs_whatever_bits_differ(max_distance: int) -> None:
    random = np.random.default_rng(max_distance)
    spread = [bits_found_by_one_band(bit)[:max_distance] for bit in range(256)]
    spread += [random.choice(256, max_distance, replace=False).tolist() for _ in range(300)]
    spread += [list(range(start, start + max_distance)) for start in range(256 - max_distance)]
    even = [round(number * 256 / max_distance) for number in range(max_distance)]
    others = stack_hashes(*map(flip_bits, [*spread, even, [bit + 1 for bit in even]]))
    assert find_near_pairs(stack_hashes(flip_bits([])), max_distance, others).tolist() == [
        [0, index] for index in range(len(others))
    ]
    assert not len(find_near_pairs(stack_hashes(flip_bits([])), max_distance - 1, others))


@given(st.integers(0, 2**32), st.integers(0, 60), max_distances, st.sampled_from([1, 7, 2**17]))
@settings(deadline=None)
def test_finds_the_same_pairs_as_brute_force(seed: int, count: int, max_distance: int, chunk: int) -> None:
    hash_array = random_hashes(seed, count, max_distance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming_search, "_CHUNK", chunk)
        patch.setattr(clusters, "_BATCH", chunk)
        assert (
            find_near_pairs(hash_array, max_distance).tolist()
            == np.argwhere(np.triu(is_near_brute_force(hash_array, hash_array, max_distance), 1)).tolist()
        )


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 60), max_distances, st.sampled_from([1, 7, 2**17]))
@settings(deadline=None)
def test_finds_the_same_pairs_between_two_arrays_as_brute_force(
    seed: int, count: int, cut: int, max_distance: int, chunk: int
) -> None:
    both = np.random.default_rng(seed).permutation(random_hashes(seed, count, max_distance))
    left, right = both[:cut], np.concatenate([both[cut:], both[: cut // 2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming_search, "_CHUNK", chunk)
        patch.setattr(clusters, "_BATCH", chunk)
        assert (
            find_near_pairs(left, max_distance, right).tolist()
            == np.argwhere(is_near_brute_force(left, right, max_distance)).tolist()
        )
    assert (
        has_near_duplicate(left, right, max_distance).tolist()
        == is_near_brute_force(left, right, max_distance).any(axis=1).tolist()
    )


@given(st.integers(0, 2**32), st.integers(0, 60), max_distances, st.sampled_from([1, 5, 2**20]))
@settings(deadline=None)
def test_clusters_equal_the_connected_components_of_all_pairs(
    seed: int, count: int, max_distance: int, batch: int
) -> None:
    for hash_array, within in (
        (random_hashes(seed, count, max_distance, repeats=True), max_distance),
        (dense_hashes(seed, count), MAX_DISTANCE),
    ):
        links, expected = is_near_brute_force(hash_array, hash_array, within), np.arange(count)
        for _ in hash_array:
            expected = np.where(links, expected, count).min(axis=1, initial=count)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clusters, "_BATCH", batch)
            assert find_clusters(hash_array, within).tolist() == expected.tolist()


@pytest.mark.parametrize("label", [[0, 1], [1, 0], [0, 0]])
def test_only_pairs_of_one_label_are_omitted(label: list[int]) -> None:
    for bit in range(0, 256, 13):
        words = np.ascontiguousarray(
            stack_hashes(flip_bits([]), flip_bits(bits_found_by_one_band(bit))).view(np.uint64).T
        )
        assert bool(list(hamming_search.find_pairs(words, None, MAX_DISTANCE, np.array(label)))) == (label != [0, 0])


@given(st.integers(0, 2**32), st.integers(1, 80))
@settings(deadline=None, max_examples=30)
def test_clusters_do_not_depend_on_the_order(seed: int, count: int) -> None:
    hash_array = random_hashes(seed, count, MAX_DISTANCE, repeats=True)
    order = np.random.default_rng(seed).permutation(count)
    label, permuted_label = find_clusters(hash_array, MAX_DISTANCE), find_clusters(hash_array[order], MAX_DISTANCE)
    sets = {frozenset(np.flatnonzero(label == one).tolist()) for one in label}
    assert {frozenset(order[permuted_label == one].tolist()) for one in permuted_label} == sets
    assert all(np.flatnonzero(permuted_label == one)[0] == one for one in permuted_label)


def test_a_chain_of_near_duplicates_is_one_cluster() -> None:
    chain = stack_hashes(
        flip_bits(list(range(60, 90))), flip_bits([]), flip_bits([*range(30), 255]), flip_bits(list(range(60)))
    )
    assert find_near_pairs(chain, MAX_DISTANCE).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert find_clusters(chain, MAX_DISTANCE).tolist() == [0, 0, 0, 0]
    assert find_clusters(chain, 30).tolist() == [0, 0, 2, 3]


def test_equal_hashes_are_paired_with_the_first() -> None:
    one, near = flip_bits([]), flip_bits([1, 2])
    hash_array = stack_hashes(near, one, one, near, flip_bits(list(range(99))), one)
    assert find_near_pairs(hash_array, MAX_DISTANCE).tolist() == [[0, 1], [0, 3], [1, 2], [1, 5]]
    assert find_clusters(hash_array, MAX_DISTANCE).tolist() == [0, 0, 0, 0, 4, 0]
    assert find_near_pairs(hash_array[:3], MAX_DISTANCE, hash_array[3:]).tolist() == [
        [0, 0],
        [0, 2],
        [1, 0],
        [1, 2],
        [2, 0],
        [2, 2],
    ]
    assert find_near_pairs(hash_array[1:3], MAX_DISTANCE, stack_hashes(near, near)).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_copies_do_not_produce_a_quadratic_number_of_pairs() -> None:
    copies = np.repeat(stack_hashes(flip_bits([])), 10_000, axis=0)
    assert find_near_pairs(copies, MAX_DISTANCE).tolist() == [[0, index] for index in range(1, 10_000)]
    assert len(find_near_pairs(copies, MAX_DISTANCE, copies)) == 19_999
    assert not find_clusters(copies, MAX_DISTANCE).any()


def test_dense_near_duplicates_are_linked_without_comparing_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    bits = np.repeat(random.integers(0, 2, (1, 256), np.uint8), 10_000, axis=0) ^ (random.random((10_000, 256)) < 0.03)
    frames, unrelated = np.packbits(bits, axis=1), random.integers(0, 256, (500, 32), np.uint8)
    compared = 0

    def counting_ranges(
        starts: hamming_search.Indices, counts: hamming_search.Indices
    ) -> tuple[hamming_search.Indices, hamming_search.Indices]:
        nonlocal compared
        compared += int(counts.sum())
        return original(starts, counts)

    original = hamming_search.concatenate_ranges
    monkeypatch.setattr(hamming_search, "concatenate_ranges", counting_ranges)
    label = find_clusters(np.concatenate([frames, unrelated]), MAX_DISTANCE)
    assert not label[:10_000].any()
    assert len(set(label.tolist())) == 501
    near = has_near_duplicate(np.concatenate([frames[:8000], unrelated]), frames[8000:], MAX_DISTANCE)
    assert near.tolist() == [True] * 8000 + [False] * 500
    assert compared < len(frames) ** 2 / 4


@pytest.mark.parametrize("max_distance", [0, SMALL_MAX_DISTANCE, MAX_DISTANCE, 64])
def test_no_hashes_and_one_hash(max_distance: int) -> None:
    none, one = np.empty((0, 32), np.uint8), stack_hashes(flip_bits([]))
    assert find_clusters(none, max_distance).shape == (0,)
    assert find_clusters(one, max_distance).tolist() == [0]
    assert has_near_duplicate(one, none, max_distance).tolist() == [False]
    assert has_near_duplicate(none, one, max_distance).tolist() == []
    for left, right in ((none, None), (one, None), (none, one), (one, none)):
        assert find_near_pairs(left, max_distance, right).shape == (0, 2)


def test_small_images_have_a_smaller_distance() -> None:
    assert (default_max_distance(28, 28), default_max_distance(64, 64)) == (SMALL_MAX_DISTANCE, SMALL_MAX_DISTANCE)
    assert (default_max_distance(65, 8), default_max_distance(224, 224)) == (MAX_DISTANCE, MAX_DISTANCE)
    assert (default_max_distance(16, 16), default_max_distance(12, 12), default_max_distance(8, 8)) == (
        SMALL_MAX_DISTANCE,
        9,
        4,
    )


def test_handwritten_digits_are_not_near_duplicates(shared_data: Path) -> None:
    raw = gzip.decompress((shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    digits = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    hash_array = np.frombuffer(b"".join(map(perceptual_hash, digits)), np.uint8).reshape(-1, 32)
    label = find_clusters(hash_array, default_max_distance(28, 28))
    assert (label != np.arange(len(label))).sum() <= 5
