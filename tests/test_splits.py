import hashlib
from collections import Counter

import pytest

from graftline.config import Data
from graftline.dataset import SplitName
from graftline.errors import RefusedError
from graftline.ledger import Ledger
from graftline.splits import Assigned, Item, assign

SHAPE = (1, 8, 8)


def item(name: str, label: str, given: SplitName | None = None) -> Item:
    return Item(name, label, given, hashlib.sha256(name.rstrip("*").encode()).hexdigest())


def items(count: int, given: SplitName | None = None, prefix: str = "") -> list[Item]:
    return [item(f"{prefix}{given}{label}{number}", label, given) for label in "ab" for number in range(count)]


def split(found: list[Item], needs_test: bool = True, previous: Ledger | None = None, seed: int = 0,
          **options: object) -> Assigned:
    return assign(found, Data(**options), place="pets", seed=seed, shape=SHAPE,  # type: ignore[arg-type]
                  needs_test=needs_test, previous=previous)


def test_draws_both_where_none_is_given() -> None:
    found = items(20)
    done = split(found, val_fraction=0.2, test_fraction=0.1)
    assert Counter(zip([one.label for one in found], done.splits, strict=True)) == {
        (label, name): count for label in "ab" for name, count in (("train", 14), ("val", 4), ("test", 2))}
    assert done.ledger.entries == {one.digest: name for one, name in zip(found, done.splits, strict=True)}


def test_three_given_splits_are_kept() -> None:
    found = items(5, "train") + items(4, "val") + items(3, "test")
    done = split(found)
    assert done.splits == [one.given for one in found]
    assert done.notes == ["given: train, val, test"]


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
    found = [*items(5, "train"), *items(5, "val"), *items(5, "test"), item("testa0*", "a", "train"),
             item("vala1*", "a", "train"), item("testb1*", "b", "val")]
    done = split(found)
    assert done.splits[-3:] == [None, None, None]
    assert done.splits[:-3] == [one.given for one in found[:-3]]
    assert "left out, because a stricter split has the same picture: 2 from train and 1 from val" in done.notes


def test_one_picture_in_two_classes_is_told() -> None:
    done = split([*items(5), item("Nonea0*", "b")])
    assert "1 pictures stand in more than one class" in done.notes


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
    moved = [Item(one.key, one.label, "train", one.digest) if one.key == "testa0" else one
             for one in items(5, "train") + items(5, "test")]
    done = split(moved, previous=first.ledger)
    assert done.splits[10] == "test"


def test_a_ledger_of_another_shape_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"drawn on images of \(3, 9, 9\) \(C, H, W\), these have \(1, 8, 8\)"):
        split(items(4), previous=Ledger(seed=0, image_shape=(3, 9, 9), entries={}))


def test_a_class_of_one_picture_in_many_copies_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"class 'c' has no test image left .* needs at least two different"):
        split([*items(5), item("c", "c"), item("c*", "c"), item("c**", "c")])
