import pytest

from graftline.data.splits.ledger import Ledger
from graftline.data.splits.splits import Item
from graftline.runtime.errors import RefusedError
from tests.builders.split_items import SIDE, grouped, item, items, picture, split


def test_a_large_near_duplicate_cluster_is_told() -> None:
    dark = [item(f"dark{number}", "a", phash=picture("dark", number)) for number in range(11)]
    done = split([*items(20), *dark])
    assert done.warnings == [
        "11 of 51 pictures are nearly the same, such as 'dark0', and stay in one split; if they "
        "show different things, set near_duplicates: false"
    ]
    assert split([*items(20), *dark[1:]]).warnings == []
    assert split([*items(110), *dark]).warnings == []


def one_set(label: str) -> list[Item]:
    return [
        item("c0", label, group="p"),
        item("c1", label, group="p", phash=picture("x")),
        item("c2", label, phash=picture("x", 1)),
    ]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (
            grouped(1, 30, "c"),
            r"all its 30 images are of one group \('c0'\), which must not be split; give images of "
            "another one, or, if these may be split, no group or near_duplicates: false",
        ),
        (
            [item(f"c{number}", "c", phash=picture("x", number)) for number in range(4)],
            "all its 4 images are nearly the same picture, which must not be split",
        ),
        (one_set("c"), "all its 3 images hang together by groups and near duplicates as one set"),
        (
            [
                item("c1", "c", group="a0"),
                item("c2", "c", group="b0"),
                item("a1", "a", group="a0"),
                item("a2", "a", group="b0"),
                *[item(f"a3{n}", "a", group="b0") for n in range(9)],
            ],
            None,
        ),
    ],
)
def test_a_class_of_one_unit_is_refused(found: list[Item], why: str | None) -> None:
    if why is None:  # two units, both of which other classes need too: drawn all the same
        assert len(set(split([*items(5), *found]).splits[10:12])) == 2
        return
    with pytest.raises(RefusedError, match=rf"pets: class 'c' has no test image left .*; {why}"):
        split([*items(5), *found])


def test_a_class_of_one_unit_is_enough_for_a_source() -> None:
    assert split([*items(5), *grouped(1, 30, "c")], needs_test=False).splits[10:] == ["train"] * 30


def test_a_class_whose_training_images_leaked_is_refused() -> None:
    found = [
        *items(5, "train"),
        *items(5, "test"),
        item("c1", "c", "test"),
        item("c2", "c", "test"),
        item("c1*", "c", "train"),
        item("c2*", "c", "train"),
    ]
    with pytest.raises(
        RefusedError,
        match=r"pets: class 'c' has no train image left .*; 2 of its 4 images were left "
        r"out, because a stricter split has the same, .* such as 'c1\*'; it needs",
    ):
        split(found)


def test_a_class_that_stands_in_the_training_of_an_earlier_run_is_refused() -> None:
    known = Ledger(seed=0, image_size=SIDE, entries={}, groups={"p": "train", "q": "train"})
    found = [*items(5), *(item(f"c{number}", "c", group="pq"[number % 2]) for number in range(4))]
    with pytest.raises(
        RefusedError,
        match=r"class 'c' has no test image left .*; its 4 different pictures form 2 sets "
        "that must not be split .* bound to other classes or to an earlier run",
    ):
        split(found, previous=known)
