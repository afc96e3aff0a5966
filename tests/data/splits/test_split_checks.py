import pytest

from graftline.data.splits.ledger import Ledger
from graftline.data.splits.split_groups import SplitSample
from graftline.runtime.errors import RefusedError
from tests.builders.split_samples import IMAGE_SIZE, make_groups, make_sample, make_samples, phash_of, split


def test_warns_of_a_large_near_duplicate_cluster() -> None:
    dark = [make_sample(f"dark{number}", "a", phash=phash_of("dark", number)) for number in range(11)]
    result = split([*make_samples(20), *dark])
    assert result.warnings == [
        "11 of 51 distinct images are near duplicates of each other, such as 'dark0', and stay in one split; if they "
        "show different things, set near_duplicates: false"
    ]
    assert split([*make_samples(20), *dark[1:]]).warnings == []
    assert split([*make_samples(110), *dark]).warnings == []


def linked_samples(label: str) -> list[SplitSample]:
    return [
        make_sample("c0", label, group="p"),
        make_sample("c1", label, group="p", phash=phash_of("x")),
        make_sample("c2", label, phash=phash_of("x", 1)),
    ]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (
            make_groups(1, 30, "c"),
            r"all of its 30 images belong to one group \('c0'\) and must stay in one split; add images that are not, "
            "or, if these may be split, remove the groups or set near_duplicates: false",
        ),
        (
            [make_sample(f"c{number}", "c", phash=phash_of("x", number)) for number in range(4)],
            "all of its 4 images are near duplicates and must stay in one split",
        ),
        (linked_samples("c"), "all of its 3 images are linked by groups and near duplicates"),
        (
            [
                make_sample("c1", "c", group="a0"),
                make_sample("c2", "c", group="b0"),
                make_sample("a1", "a", group="a0"),
                make_sample("a2", "a", group="b0"),
                *[make_sample(f"a3{n}", "a", group="b0") for n in range(9)],
            ],
            None,
        ),
    ],
)
def test_refuses_a_class_with_a_single_split_group(samples: list[SplitSample], reason: str | None) -> None:
    if reason is None:  # two split groups, both needed by other classes too
        assert len(set(split([*make_samples(5), *samples]).splits[10:12])) == 2
        return
    with pytest.raises(RefusedError, match=rf"pets: class 'c' has no test image .*; {reason}"):
        split([*make_samples(5), *samples])


def test_accepts_a_class_with_a_single_split_group_in_a_source() -> None:
    assert split([*make_samples(5), *make_groups(1, 30, "c")], needs_test=False).splits[10:] == ["train"] * 30


def test_refuses_a_class_whose_training_images_are_all_test_duplicates() -> None:
    samples = [
        *make_samples(5, "train"),
        *make_samples(5, "test"),
        make_sample("c1", "c", "test"),
        make_sample("c2", "c", "test"),
        make_sample("c1*", "c", "train"),
        make_sample("c2*", "c", "train"),
    ]
    with pytest.raises(
        RefusedError,
        match=r"pets: class 'c' has no train image .*; 2 of its 4 images were "
        r"excluded because a stricter split has the same image, .* such as 'c1\*'; it needs",
    ):
        split(samples)


def test_refuses_a_class_whose_groups_an_earlier_run_used_for_training() -> None:
    known = Ledger(seed=0, image_size=IMAGE_SIZE, entries={}, groups={"p": "train", "q": "train"})
    samples = [*make_samples(5), *(make_sample(f"c{number}", "c", group="pq"[number % 2]) for number in range(4))]
    with pytest.raises(
        RefusedError,
        match=r"class 'c' has no test image .*; its 4 distinct images form 2 sets "
        "that must stay in one split .* linked to other classes or to an earlier run",
    ):
        split(samples, previous=known)
