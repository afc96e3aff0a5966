from collections import Counter
from dataclasses import replace

import pytest

from graftline.data.dataset import SplitName
from graftline.data.splits.ledger import Ledger
from graftline.runtime.errors import RefusedError
from tests.builders.split_samples import IMAGE_SIZE, make_groups, make_sample, make_samples, phash_of, split


def test_draws_val_and_test_if_the_data_have_no_splits() -> None:
    samples = make_samples(20)
    result = split(samples, val_fraction=0.2, test_fraction=0.1)
    assert Counter(zip([sample.label for sample in samples], result.splits, strict=True)) == {
        (label, name): count for label in "ab" for name, count in (("train", 14), ("val", 4), ("test", 2))
    }
    assert result.ledger.entries == {sample.digest: name for sample, name in zip(samples, result.splits, strict=True)}


def test_keeps_three_predefined_splits() -> None:
    samples = make_samples(5, "train") + make_samples(4, "val") + make_samples(3, "test")
    result = split(samples)
    assert result.splits == [sample.predefined for sample in samples]
    assert result.notes == ["predefined splits: train, val, test"]
    assert result.warnings == []


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_uses_the_second_of_two_predefined_splits_as_test(held_out: SplitName) -> None:
    samples = make_samples(10, "train") + make_samples(4, held_out)
    result = split(samples, val_fraction=0.2)
    assert Counter(result.splits) == {"train": 16, "val": 4, "test": 8}
    assert result.splits[20:] == ["test"] * 8
    assert ("val is used as the test split" in result.notes[0]) == (held_out == "val")


def test_keeps_the_val_split_of_a_source_and_draws_no_test_split() -> None:
    samples = make_samples(10, "train") + make_samples(4, "val")
    assert split(samples, needs_test=False).splits == [sample.predefined for sample in samples]
    assert Counter(split(make_samples(10), needs_test=False, val_fraction=0.2).splits) == {"train": 16, "val": 4}


def test_draws_val_and_test_from_a_single_train_split() -> None:
    result = split(make_samples(10, "train"), val_fraction=0.2, test_fraction=0.2)
    assert Counter(result.splits) == {"train": 12, "val": 4, "test": 4}
    assert "the data have only a train split" in result.notes[0]


def test_refuses_predefined_splits_without_train() -> None:
    with pytest.raises(RefusedError, match=r"pets: the data have the splits \['test', 'val'\] but no train split"):
        split(make_samples(4, "test") + make_samples(4, "val"))


def test_keeps_exact_duplicates_in_one_split() -> None:
    samples = make_samples(10) + [make_sample(f"Nonea{number}*", "a") for number in range(10)]
    result = split(samples, val_fraction=0.3, test_fraction=0.3)
    assert result.splits[:10] == result.splits[20:]
    assert result.notes == ["exact duplicates: 20 images have only 10 distinct contents; copies stay in one split"]


def test_removes_duplicates_from_the_less_strict_predefined_split() -> None:
    samples = [
        *make_samples(5, "train"),
        *make_samples(5, "val"),
        *make_samples(5, "test"),
        make_sample("testa0*", "a", "train"),
        make_sample("vala1*", "a", "train"),
        make_sample("testb1*", "b", "val"),
    ]
    result = split(samples)
    assert result.splits[-3:] == [None, None, None]
    assert result.splits[:-3] == [sample.predefined for sample in samples[:-3]]
    assert result.warnings == [
        "excluded from train: 1 images that also occur in val (1 exact duplicates, such as 'vala1*' and 'vala1')",
        "excluded from train: 1 images that also occur in test (1 exact duplicates, such as 'testa0*' and 'testa0')",
        "excluded from val: 1 images that also occur in test (1 exact duplicates, such as 'testb1*' and 'testb1')",
    ]


def test_warns_of_an_image_in_two_classes() -> None:
    result = split([*make_samples(5), make_sample("Nonea0*", "b"), make_sample("Nonea3*", "b")])
    assert result.warnings == ["2 distinct images occur in more than one class, such as 'Nonea0' (a) and 'Nonea0*' (b)"]


def test_limits_each_class_and_a_smaller_limit_keeps_a_subset() -> None:
    samples = make_samples(20, "train") + make_samples(20, "val") + make_samples(20, "test")
    few = split(samples, train_per_class=3, val_per_class=5, test_per_class=7)
    assert Counter(few.splits) == {"train": 6, "val": 10, "test": 14, None: 90}
    more = split(samples, train_per_class=6, val_per_class=5, test_per_class=7)
    assert {i for i, name in enumerate(few.splits) if name} < {i for i, name in enumerate(more.splits) if name}
    assert len(few.ledger.entries) == 120
    turned = split(samples[::-1], train_per_class=3, val_per_class=5, test_per_class=7)
    assert turned.splits == few.splits[::-1]
    assert split(samples, seed=1, train_per_class=3, val_per_class=5, test_per_class=7).splits != few.splits


def test_extends_a_previous_ledger() -> None:
    first = split(make_samples(10), val_fraction=0.2, test_fraction=0.2)
    later = make_samples(10) + make_samples(10, prefix="new")
    result = split(later, previous=first.ledger, seed=99, val_fraction=0.2, test_fraction=0.2)
    assert result.splits[:20] == first.splits
    assert Counter(result.splits) == {"train": 24, "val": 8, "test": 8}
    assert first.ledger.entries.items() <= result.ledger.entries.items()
    assert result.ledger.seed == 0
    assert result.notes == ["split ledger: 20 distinct images keep their split, 20 are new"]


def test_ledger_takes_precedence_over_a_moved_file() -> None:
    first = split(make_samples(5, "train") + make_samples(5, "test"))
    moved = [
        replace(sample, predefined="train") if sample.key == "testa0" else sample
        for sample in make_samples(5, "train") + make_samples(5, "test")
    ]
    result = split(moved, previous=first.ledger)
    assert result.splits[10] == "test"
    assert result.warnings == []
    assert (
        "split ledger: 1 distinct images keep the split of an earlier run, although the data now specify another one"
        in result.notes
    )


def test_refuses_a_ledger_of_another_image_size() -> None:
    with pytest.raises(RefusedError, match=r"pets: the ledger was made for images of 9x8 \(H, W\), but these have 8x8"):
        split(make_samples(4), previous=Ledger(seed=0, image_size=(9, 8), entries={}))


def test_refuses_a_class_with_copies_of_a_single_image() -> None:
    with pytest.raises(RefusedError, match=r"class 'c' has no test image .* needs at least two distinct"):
        split([*make_samples(5), make_sample("c", "c"), make_sample("c*", "c"), make_sample("c**", "c")])


def test_keeps_groups_in_one_split_including_later_members() -> None:
    samples = make_groups(20, 5, "a") + make_groups(20, 5, "b")
    first = split(samples, val_fraction=0.2, test_fraction=0.1)
    assert Counter(zip([sample.label for sample in samples], first.splits, strict=True)) == {
        (label, name): count for label in "ab" for name, count in (("train", 70), ("val", 20), ("test", 10))
    }
    assert first.notes == ["groups: 40; each group stays in one split"]
    assert first.ledger.groups == {sample.group: name for sample, name in zip(samples, first.splits, strict=True)}
    later = [make_sample(f"later{group}", "b", group=group) for group in first.ledger.groups]
    alone = split(later + make_samples(20), previous=first.ledger)
    assert alone.splits[:40] == list(first.ledger.groups.values())


def test_keeps_near_duplicates_in_one_split_including_those_of_deleted_files() -> None:
    samples = [replace(sample, phash=phash_of(sample.key)) for sample in make_samples(20)]
    near = [make_sample(f"near {sample.key}", sample.label, phash=phash_of(sample.key, 7)) for sample in samples]
    first = split(samples + near)
    assert first.splits[:40] == first.splits[40:]
    assert first.notes == ["near duplicates: 80 distinct images in 40 clusters; each cluster stays in one split"]
    alone = split(samples)
    result = split(near + make_samples(5, prefix="new"), previous=alone.ledger)
    assert result.splits[:40] == alone.splits


def test_excludes_near_duplicates_of_test_images_from_training() -> None:
    samples = [
        *make_samples(5, "train"),
        *make_samples(5, "test"),
        make_sample("t", "a", "test", phash=phash_of("x")),
        make_sample("n1", "a", "train", phash=phash_of("x", 1)),
        make_sample("n2", "b", "train", phash=phash_of("x", 2)),
        make_sample("t*", "a", "train", phash=phash_of("x")),
    ]
    result = split(samples)
    assert result.splits[-4:] == ["test", None, None, None]
    assert None not in result.splits[:-3]
    assert result.warnings == [
        "excluded from train: 3 images that also occur in test (1 exact duplicates, 2 near duplicates, "
        "such as 'n1' and 't')"
    ]
    again = split(samples, previous=result.ledger)
    assert (again.splits, again.ledger, again.warnings) == (result.splits, result.ledger, result.warnings)
    gone = split([sample for sample in samples if sample.key != "t" and sample.key != "t*"], previous=result.ledger)
    assert gone.warnings == [
        "excluded from train: 2 images that also occur in test (2 near duplicates, such as 'n1' and "
        "an image of an earlier run)"
    ]


def test_keeps_only_the_strictest_split_of_a_divided_group() -> None:
    samples = [
        *make_samples(5, "train"),
        *make_samples(5, "val"),
        *make_samples(5, "test"),
        make_sample("1", "a", "train", "p"),
        make_sample("2", "a", "val", "p"),
        make_sample("3", "a", "test", "p"),
        make_sample("4", "a", "train", "q"),
    ]
    result = split(samples)
    assert result.splits[-4:] == [None, None, "test", "train"]
    assert result.ledger.groups == {"p": "test", "q": "train"}
    assert result.warnings == [
        "excluded from train: 1 images that groups link to test (such as '1' and '3')",
        "excluded from val: 1 images that groups link to test (such as '2' and '3')",
        "1 groups occur in more than one split, such as 'p'; only their images in the strictest split are kept",
    ]


def test_draws_groups_of_a_predefined_train_split_as_a_unit() -> None:
    samples = [replace(sample, predefined="train") for sample in make_groups(20, 5)] + [make_sample("t", "a", "test")]
    result = split(samples, val_fraction=0.2)
    assert Counter(result.splits) == {"train": 80, "val": 20, "test": 1}
    assert result.warnings == []


def test_excludes_a_known_group_from_training_if_a_new_image_links_it_to_test() -> None:
    samples = [
        *make_samples(10),
        make_sample("1", "a", group="p", phash=phash_of("x")),
        make_sample("2", "a", phash=phash_of("y")),
    ]
    known = Ledger(
        seed=0,
        image_size=IMAGE_SIZE,
        entries={samples[-2].digest: "train", samples[-1].digest: "test"},
        groups={"p": "train"},
        hashes={},
    )
    result = split([*samples, make_sample("3", "a", group="p", phash=phash_of("y", 3))], previous=known)
    assert result.splits[-3:] == [None, "test", "test"]
    assert known.entries.items() <= result.ledger.entries.items()
    assert result.ledger.groups == {"p": "test"}
    assert "excluded from train: 1 images that groups link to test (such as '1' and '3')" in result.warnings
