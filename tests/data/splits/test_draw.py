from collections import Counter, defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.dataset import SplitName
from graftline.data.splits.draw import draw
from graftline.data.splits.ledger import rank

digests = st.dictionaries(st.integers(0, 2**64).map("{:064x}".format), st.sampled_from("abc"), max_size=60)
fractions = st.floats(0, 0.49)


def single(label_of: Mapping[str, str]) -> dict[str, int]:
    return {digest: number for number, digest in enumerate(label_of)}


def of_sizes(sizes: list[int], first: int = 0) -> tuple[dict[str, str], dict[str, int]]:
    """Units of one class."""
    unit_of = {
        f"{unit:05x}{member:05x}": unit for unit, size in enumerate(sizes, start=first) for member in range(size)
    }
    return dict.fromkeys(unit_of, "a"), unit_of


def drawn(sizes: list[int], val: float = 0.15, test: float = 0.15) -> Counter[SplitName]:
    label_of, unit_of = of_sizes(sizes)
    return Counter(draw(label_of, unit_of, {}, seed=0, val_fraction=val, test_fraction=test).values())


@given(digests, st.integers(0, 9), fractions, fractions)
def test_a_draw_covers_all_and_keeps_each_class_its_share(
    label_of: dict[str, str], seed: int, val: float, test: float
) -> None:
    splits = draw(label_of, single(label_of), {}, seed=seed, val_fraction=val, test_fraction=test)
    assert set(splits) == set(label_of)
    for label, size in Counter(label_of.values()).items():
        have = Counter(splits[digest] for digest, own in label_of.items() if own == label)
        assert have["train"] >= 1
        if size >= 3:
            assert have["val"] >= (val > 0)
            assert have["test"] >= (test > 0)
        assert abs(have["test"] - test * size) <= 1.5 or have["train"] == 1


def draw_of_the_first_release(
    label_of: Mapping[str, str], known: Mapping[str, SplitName], seed: int, val: float, test: float
) -> dict[str, SplitName]:
    classes: dict[str, list[str]] = defaultdict(list)
    for digest, label in label_of.items():
        classes[label].append(digest)
    splits: dict[str, SplitName] = {}
    for own in classes.values():
        tests = min(max(1, round(test * len(own))), len(own) - 1) if test and len(own) > 1 else 0
        most = len(own) - 1 - tests
        vals = min(max(1, round(val * len(own))), most) if val and most > 0 else 0
        have = Counter(known[digest] for digest in own if digest in known)
        fresh = sorted((digest for digest in own if digest not in known), key=lambda digest: rank(seed, digest))
        cut = max(0, tests - have["test"])
        until = cut + max(0, vals - have["val"])
        for position, digest in enumerate(fresh):
            splits[digest] = "test" if position < cut else "val" if position < until else "train"
    return {**splits, **{digest: known[digest] for digest in label_of if digest in known}}


@given(digests, digests, st.integers(0, 9), fractions, fractions)
def test_single_samples_are_drawn_as_ever(
    earlier: dict[str, str], later: dict[str, str], seed: int, val: float, test: float
) -> None:
    first = draw(earlier, single(earlier), {}, seed=seed, val_fraction=val, test_fraction=test)
    assert first == draw_of_the_first_release(earlier, {}, seed, val, test)
    both = {**later, **earlier}
    second = draw(both, single(both), first, seed=seed, val_fraction=val, test_fraction=test)
    assert second == draw_of_the_first_release(both, first, seed, val, test)
    assert {digest: second[digest] for digest in earlier} == first


@given(
    st.dictionaries(
        st.integers(0, 2**64).map("{:064x}".format), st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=60
    ),
    st.randoms(),
)
def test_the_order_of_files_decides_nothing(found: dict[str, tuple[str, int]], random: object) -> None:
    shuffled = list(found.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (
        draw(
            {digest: label for digest, (label, _) in some},
            {digest: unit for digest, (_, unit) in some},
            {},
            seed=3,
            val_fraction=0.2,
            test_fraction=0.2,
        )
        for some in (list(found.items()), shuffled)
    )
    assert one == other


def test_another_seed_draws_others() -> None:
    label_of, unit_of = of_sizes([1] * 200)
    one, other = (draw(label_of, unit_of, {}, seed=seed, val_fraction=0.2, test_fraction=0.2) for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize(
    ("sizes", "train", "val", "test"),
    [
        ([1], 1, 0, 0),
        ([7], 7, 0, 0),
        ([1, 1], 1, 0, 1),
        ([3, 3], 3, 0, 3),
        ([1, 9], 9, 0, 1),  # the small one, wherever it stands in the order
        ([9, 1], 9, 0, 1),
        ([50, 1, 1], 50, 1, 1),  # both small ones fit into test's share of 8; one is kept for val
        ([10, 10, 10], 10, 10, 10),  # half of 10 is beyond the share of 4, yet none may be empty
        ([2, 2, 2], 2, 2, 2),
        ([5] * 40, 140, 30, 30),
        ([4] * 10, 24, 8, 8),  # 0 + 2 <= 6, 4 + 2 <= 6, 8 + 2 > 6
        ([5] * 10, 30, 10, 10),  # 5 + 2.5 <= 8, 10 + 2.5 > 8
    ],
)
def test_units_of_known_sizes(sizes: list[int], train: int, val: int, test: int) -> None:
    assert drawn(sizes) == Counter(train=train, val=val, test=test)


def test_without_a_test_split_two_units_are_training_and_validation() -> None:
    assert drawn([5, 5], test=0) == Counter(train=5, val=5)


def test_a_unit_of_two_classes_counts_for_both() -> None:
    label_of = {"m1": "a", "m2": "a", "m3": "b", "b1": "b", "b2": "b", "a1": "a", "a2": "a"}
    unit_of = {"m1": 0, "m2": 0, "m3": 0, "b1": 1, "b2": 2, "a1": 3, "a2": 4}
    for seed in range(20):
        splits = draw(label_of, unit_of, {}, seed=seed, val_fraction=0, test_fraction=0.25)
        assert splits["m1"] == splits["m2"] == splits["m3"]
        have = Counter((label, splits[digest]) for digest, label in label_of.items())
        assert have["b", "test"] == 1  # where the mixed unit is test, b has its share already
        assert have["a", "test"] in (1, 2)


def test_members_that_come_later_change_no_order() -> None:
    label_of, unit_of = of_sizes([1] * 30)
    splits = draw(label_of, unit_of, {}, seed=0, val_fraction=0.2, test_fraction=0.2)
    more = {f"{unit:05x}fffff": unit for unit in range(30)}
    grown = draw(
        {**label_of, **dict.fromkeys(more, "a")}, {**unit_of, **more}, {}, seed=0, val_fraction=0.2, test_fraction=0.2
    )
    assert {digest: grown[digest] for digest in splits} == splits


@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=25), st.integers(0, 5))
def test_many_small_additions_keep_the_shares(batches: list[list[int]], seed: int) -> None:
    label_of: dict[str, str] = {}
    unit_of: dict[str, int] = {}
    splits: dict[str, SplitName] = {}
    largest = 0
    for sizes in batches:
        labels, units = of_sizes(sizes, first=len(unit_of))
        label_of.update(labels)
        unit_of.update(units)
        before = dict(splits)
        splits = draw(label_of, unit_of, before, seed=seed, val_fraction=0.2, test_fraction=0.2)
        assert before.items() <= splits.items()
        largest = max(largest, *sizes)
        have = Counter(splits.values())
        for name in ("val", "test"):
            assert abs(have[name] - 0.2 * len(splits)) <= largest + 1
