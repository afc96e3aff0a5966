from collections import Counter, defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.dataset import SplitName
from graftline.data.splits.class_draw import DrawOptions, draw_by_class
from graftline.data.splits.ledger import sampling_key

digests = st.dictionaries(st.integers(0, 2**64).map("{:064x}".format), st.sampled_from("abc"), max_size=60)
fractions = st.floats(0, 0.49)


def single_groups(labels: Mapping[str, str]) -> dict[str, int]:
    return {digest: number for number, digest in enumerate(labels)}


def groups_of_sizes(sizes: list[int], first: int = 0) -> tuple[dict[str, str], dict[str, int]]:
    """Returns labels and groups of one class, given group sizes."""
    group_of = {
        f"{group:05x}{member:05x}": group for group, size in enumerate(sizes, start=first) for member in range(size)
    }
    return dict.fromkeys(group_of, "a"), group_of


def draw_sizes(sizes: list[int], val: float = 0.15, test: float = 0.15) -> Counter[SplitName]:
    labels, group_of = groups_of_sizes(sizes)
    return Counter(draw_by_class(labels, group_of, {}, DrawOptions(0, val, test)).values())


@given(digests, st.integers(0, 9), fractions, fractions)
def test_draw_assigns_all_samples_and_keeps_class_fractions(
    labels: dict[str, str], seed: int, val: float, test: float
) -> None:
    splits = draw_by_class(labels, single_groups(labels), {}, DrawOptions(seed, val, test))
    assert set(splits) == set(labels)
    for label, size in Counter(labels.values()).items():
        counts = Counter(splits[digest] for digest, own in labels.items() if own == label)
        assert counts["train"] >= 1
        if size >= 3:
            assert counts["val"] >= (val > 0)
            assert counts["test"] >= (test > 0)
        assert abs(counts["test"] - test * size) <= 1.5 or counts["train"] == 1


def reference_draw(
    labels: Mapping[str, str], known: Mapping[str, SplitName], seed: int, val: float, test: float
) -> dict[str, SplitName]:
    classes: dict[str, list[str]] = defaultdict(list)
    for digest, label in labels.items():
        classes[label].append(digest)
    splits: dict[str, SplitName] = {}
    for own in classes.values():
        tests = min(max(1, round(test * len(own))), len(own) - 1) if test and len(own) > 1 else 0
        most = len(own) - 1 - tests
        vals = min(max(1, round(val * len(own))), most) if val and most > 0 else 0
        counts = Counter(known[digest] for digest in own if digest in known)
        fresh = sorted((digest for digest in own if digest not in known), key=lambda digest: sampling_key(seed, digest))
        cut = max(0, tests - counts["test"])
        until = cut + max(0, vals - counts["val"])
        for position, digest in enumerate(fresh):
            splits[digest] = "test" if position < cut else "val" if position < until else "train"
    return {**splits, **{digest: known[digest] for digest in labels if digest in known}}


@given(digests, digests, st.integers(0, 9), fractions, fractions)
def test_draw_of_single_samples_equals_the_reference(
    earlier: dict[str, str], later: dict[str, str], seed: int, val: float, test: float
) -> None:
    first = draw_by_class(earlier, single_groups(earlier), {}, DrawOptions(seed, val, test))
    assert first == reference_draw(earlier, {}, seed, val, test)
    both = {**later, **earlier}
    second = draw_by_class(both, single_groups(both), first, DrawOptions(seed, val, test))
    assert second == reference_draw(both, first, seed, val, test)
    assert {digest: second[digest] for digest in earlier} == first


@given(
    st.dictionaries(
        st.integers(0, 2**64).map("{:064x}".format), st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=60
    ),
    st.randoms(),
)
def test_draw_does_not_depend_on_the_order(label_and_group: dict[str, tuple[str, int]], random: object) -> None:
    shuffled = list(label_and_group.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (
        draw_by_class(
            {digest: label for digest, (label, _) in some},
            {digest: group for digest, (_, group) in some},
            {},
            DrawOptions(3, 0.2, 0.2),
        )
        for some in (list(label_and_group.items()), shuffled)
    )
    assert first == second


def test_draw_depends_on_the_seed() -> None:
    labels, group_of = groups_of_sizes([1] * 200)
    first, second = (draw_by_class(labels, group_of, {}, DrawOptions(seed, 0.2, 0.2)) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("sizes", "train", "val", "test"),
    [
        ([1], 1, 0, 0),
        ([7], 7, 0, 0),
        ([1, 1], 1, 0, 1),
        ([3, 3], 3, 0, 3),
        ([1, 9], 9, 0, 1),  # the small first, wherever it stands in the order
        ([9, 1], 9, 0, 1),
        ([50, 1, 1], 50, 1, 1),  # both small ones fit into test's share of 8; first is kept for val
        ([10, 10, 10], 10, 10, 10),  # half of 10 is beyond the share of 4, yet none may be empty
        ([2, 2, 2], 2, 2, 2),
        ([5] * 40, 140, 30, 30),
        ([4] * 10, 24, 8, 8),  # 0 + 2 <= 6, 4 + 2 <= 6, 8 + 2 > 6
        ([5] * 10, 30, 10, 10),  # 5 + 2.5 <= 8, 10 + 2.5 > 8
    ],
)
def test_draw_of_groups_with_known_sizes(sizes: list[int], train: int, val: int, test: int) -> None:
    assert draw_sizes(sizes) == Counter(train=train, val=val, test=test)


def test_two_groups_are_train_and_val_if_no_test_split_is_drawn() -> None:
    assert draw_sizes([5, 5], test=0) == Counter(train=5, val=5)


def test_a_group_of_two_classes_counts_for_both() -> None:
    labels = {"m1": "a", "m2": "a", "m3": "b", "b1": "b", "b2": "b", "a1": "a", "a2": "a"}
    group_of = {"m1": 0, "m2": 0, "m3": 0, "b1": 1, "b2": 2, "a1": 3, "a2": 4}
    for seed in range(20):
        splits = draw_by_class(labels, group_of, {}, DrawOptions(seed, 0, 0.25))
        assert splits["m1"] == splits["m2"] == splits["m3"]
        counts = Counter((label, splits[digest]) for digest, label in labels.items())
        assert counts["b", "test"] == 1  # where the mixed group is test, b has its share already
        assert counts["a", "test"] in (1, 2)


def test_new_members_of_groups_do_not_change_the_draw() -> None:
    labels, group_of = groups_of_sizes([1] * 30)
    splits = draw_by_class(labels, group_of, {}, DrawOptions(0, 0.2, 0.2))
    more = {f"{group:05x}fffff": group for group in range(30)}
    grown = draw_by_class({**labels, **dict.fromkeys(more, "a")}, {**group_of, **more}, {}, DrawOptions(0, 0.2, 0.2))
    assert {digest: grown[digest] for digest in splits} == splits


@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=25), st.integers(0, 5))
def test_fractions_hold_after_many_small_additions(batches: list[list[int]], seed: int) -> None:
    labels: dict[str, str] = {}
    group_of: dict[str, int] = {}
    splits: dict[str, SplitName] = {}
    largest = 0
    for sizes in batches:
        new_labels, new_groups = groups_of_sizes(sizes, first=len(group_of))
        labels.update(new_labels)
        group_of.update(new_groups)
        before = dict(splits)
        splits = draw_by_class(labels, group_of, before, DrawOptions(seed, 0.2, 0.2))
        assert before.items() <= splits.items()
        largest = max(largest, *sizes)
        counts = Counter(splits.values())
        for name in ("val", "test"):
            assert abs(counts[name] - 0.2 * len(splits)) <= largest + 1
