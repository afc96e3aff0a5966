from collections import Counter
from dataclasses import replace

import pytest

from graftline.data.dataset import SplitName
from graftline.data.splits.ledger import Ledger
from graftline.runtime.errors import RefusedError
from tests.builders.split_items import SIDE, grouped, item, items, picture, split


def test_draws_both_where_none_is_given() -> None:
    found = items(20)
    done = split(found, val_fraction=0.2, test_fraction=0.1)
    assert Counter(zip([one.label for one in found], done.splits, strict=True)) == {
        (label, name): count for label in "ab" for name, count in (("train", 14), ("val", 4), ("test", 2))
    }
    assert done.ledger.entries == {one.digest: name for one, name in zip(found, done.splits, strict=True)}


def test_three_given_splits_are_kept() -> None:
    found = items(5, "train") + items(4, "val") + items(3, "test")
    done = split(found)
    assert done.splits == [one.given for one in found]
    assert done.notes == ["given: train, val, test"]
    assert done.warnings == []


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_of_two_given_splits_the_held_out_one_is_the_test_split(held_out: SplitName) -> None:
    found = items(10, "train") + items(4, held_out)
    done = split(found, val_fraction=0.2)
    assert Counter(done.splits) == {"train": 16, "val": 4, "test": 8}
    assert done.splits[20:] == ["test"] * 8
    assert ("val is held out, so it is the test split here" in done.notes[0]) == (held_out == "val")


def test_a_sources_validation_split_stays_and_no_test_split_is_drawn() -> None:
    found = items(10, "train") + items(4, "val")
    assert split(found, needs_test=False).splits == [one.given for one in found]
    assert Counter(split(items(10), needs_test=False, val_fraction=0.2).splits) == {"train": 16, "val": 4}


def test_train_alone_is_divided() -> None:
    done = split(items(10, "train"), val_fraction=0.2, test_fraction=0.2)
    assert Counter(done.splits) == {"train": 12, "val": 4, "test": 4}
    assert "only a training split is given" in done.notes[0]


def test_splits_without_train_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"pets: splits \['test', 'val'\] are given and no train"):
        split(items(4, "test") + items(4, "val"))


def test_exact_duplicates_stand_in_one_split() -> None:
    found = items(10) + [item(f"Nonea{number}*", "a") for number in range(10)]
    done = split(found, val_fraction=0.3, test_fraction=0.3)
    assert done.splits[:10] == done.splits[20:]
    assert done.notes == ["exact duplicates: 20 images show 10 pictures; each stays in one split"]


def test_a_picture_in_two_given_splits_leaves_the_laxer_one() -> None:
    found = [
        *items(5, "train"),
        *items(5, "val"),
        *items(5, "test"),
        item("testa0*", "a", "train"),
        item("vala1*", "a", "train"),
        item("testb1*", "b", "val"),
    ]
    done = split(found)
    assert done.splits[-3:] == [None, None, None]
    assert done.splits[:-3] == [one.given for one in found[:-3]]
    assert done.warnings == [
        "left out of train: 1 images that val has too (1 the same, such as 'vala1*' and 'vala1')",
        "left out of train: 1 images that test has too (1 the same, such as 'testa0*' and 'testa0')",
        "left out of val: 1 images that test has too (1 the same, such as 'testb1*' and 'testb1')",
    ]


def test_one_picture_in_two_classes_is_told() -> None:
    done = split([*items(5), item("Nonea0*", "b"), item("Nonea3*", "b")])
    assert done.warnings == ["2 pictures stand in more than one class, such as 'Nonea0' (a) and 'Nonea0*' (b)"]


def test_limits_are_drawn_a_class_and_fewer_are_a_part_of_more() -> None:
    found = items(20, "train") + items(20, "val") + items(20, "test")
    few = split(found, train_per_class=3, val_per_class=5, test_per_class=7)
    assert Counter(few.splits) == {"train": 6, "val": 10, "test": 14, None: 90}
    more = split(found, train_per_class=6, val_per_class=5, test_per_class=7)
    assert {i for i, name in enumerate(few.splits) if name} < {i for i, name in enumerate(more.splits) if name}
    assert len(few.ledger.entries) == 120
    turned = split(found[::-1], train_per_class=3, val_per_class=5, test_per_class=7)
    assert turned.splits == few.splits[::-1]
    assert split(found, seed=1, train_per_class=3, val_per_class=5, test_per_class=7).splits != few.splits


def test_a_previous_ledger_goes_on() -> None:
    first = split(items(10), val_fraction=0.2, test_fraction=0.2)
    later = items(10) + items(10, prefix="new")
    done = split(later, previous=first.ledger, seed=99, val_fraction=0.2, test_fraction=0.2)
    assert done.splits[:20] == first.splits
    assert Counter(done.splits) == {"train": 24, "val": 8, "test": 8}
    assert first.ledger.entries.items() <= done.ledger.entries.items()
    assert done.ledger.seed == 0
    assert done.notes == ["split ledger: 20 pictures as before, 20 new"]


def test_the_ledger_goes_before_a_file_that_moved() -> None:
    first = split(items(5, "train") + items(5, "test"))
    moved = [
        replace(one, given="train") if one.key == "testa0" else one for one in items(5, "train") + items(5, "test")
    ]
    done = split(moved, previous=first.ledger)
    assert done.splits[10] == "test"
    assert done.warnings == []
    assert (
        "split ledger: 1 pictures stay in the split of an earlier run, though the data give them another one now"
        in done.notes
    )


def test_a_ledger_of_another_size_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"pets: the ledger was drawn on images of 9x8 \(H, W\), these have 8x8"):
        split(items(4), previous=Ledger(seed=0, image_size=(9, 8), entries={}))


def test_a_class_of_one_picture_in_many_copies_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"class 'c' has no test image left .* needs at least two different"):
        split([*items(5), item("c", "c"), item("c*", "c"), item("c**", "c")])


def test_groups_stay_together_and_a_later_member_finds_its_own() -> None:
    found = grouped(20, 5, "a") + grouped(20, 5, "b")
    first = split(found, val_fraction=0.2, test_fraction=0.1)
    assert Counter(zip([one.label for one in found], first.splits, strict=True)) == {
        (label, name): count for label in "ab" for name, count in (("train", 70), ("val", 20), ("test", 10))
    }
    assert first.notes == ["groups: 40; each stays in one split"]
    assert first.ledger.groups == {one.group: name for one, name in zip(found, first.splits, strict=True)}
    later = [item(f"later{group}", "b", group=group) for group in first.ledger.groups]
    alone = split(later + items(20), previous=first.ledger)
    assert alone.splits[:40] == list(first.ledger.groups.values())


def test_near_duplicates_stay_together_also_with_one_that_is_gone() -> None:
    found = [replace(one, phash=picture(one.key)) for one in items(20)]
    near = [item(f"near {one.key}", one.label, phash=picture(one.key, 7)) for one in found]
    first = split(found + near)
    assert first.splits[:40] == first.splits[40:]
    assert first.notes == ["near duplicates: 80 pictures in 40 sets; each stays in one split"]
    alone = split(found)
    done = split(near + items(5, prefix="new"), previous=alone.ledger)
    assert done.splits[:40] == alone.splits


def test_a_near_duplicate_of_a_test_image_leaves_training() -> None:
    found = [
        *items(5, "train"),
        *items(5, "test"),
        item("t", "a", "test", phash=picture("x")),
        item("n1", "a", "train", phash=picture("x", 1)),
        item("n2", "b", "train", phash=picture("x", 2)),
        item("t*", "a", "train", phash=picture("x")),
    ]
    done = split(found)
    assert done.splits[-4:] == ["test", None, None, None]
    assert None not in done.splits[:-3]
    assert done.warnings == [
        "left out of train: 3 images that test has too (1 the same, 2 nearly the same, such as 'n1' and 't')"
    ]
    again = split(found, previous=done.ledger)
    assert (again.splits, again.ledger, again.warnings) == (done.splits, done.ledger, done.warnings)
    gone = split([one for one in found if one.key != "t" and one.key != "t*"], previous=done.ledger)
    assert gone.warnings == [
        "left out of train: 2 images that test has too (2 nearly the same, such as 'n1' and one of an earlier run)"
    ]


def test_a_group_that_the_data_tear_keeps_its_strictest_split() -> None:
    found = [
        *items(5, "train"),
        *items(5, "val"),
        *items(5, "test"),
        item("1", "a", "train", "p"),
        item("2", "a", "val", "p"),
        item("3", "a", "test", "p"),
        item("4", "a", "train", "q"),
    ]
    done = split(found)
    assert done.splits[-4:] == [None, None, "test", "train"]
    assert done.ledger.groups == {"p": "test", "q": "train"}
    assert done.warnings == [
        "left out of train: 1 images that groups tie to test (such as '1' and '3')",
        "left out of val: 1 images that groups tie to test (such as '2' and '3')",
        "1 groups stand in more than one split, such as 'p'; each keeps its strictest only",
    ]


def test_a_unit_of_training_images_alone_is_drawn_whole() -> None:
    found = [replace(one, given="train") for one in grouped(20, 5)] + [item("t", "a", "test")]
    done = split(found, val_fraction=0.2)
    assert Counter(done.splits) == {"train": 80, "val": 20, "test": 1}
    assert done.warnings == []


def test_an_image_that_ties_a_known_group_to_test_takes_the_group_out_of_training() -> None:
    found = [*items(10), item("1", "a", group="p", phash=picture("x")), item("2", "a", phash=picture("y"))]
    known = Ledger(
        seed=0,
        image_size=SIDE,
        entries={found[-2].digest: "train", found[-1].digest: "test"},
        groups={"p": "train"},
        hashes={},
    )
    done = split([*found, item("3", "a", group="p", phash=picture("y", 3))], previous=known)
    assert done.splits[-3:] == [None, "test", "test"]
    assert known.entries.items() <= done.ledger.entries.items()
    assert done.ledger.groups == {"p": "test"}
    assert "left out of train: 1 images that groups tie to test (such as '1' and '3')" in done.warnings
