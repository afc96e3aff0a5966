from graftline.data.splits.ledger import Ledger
from graftline.data.splits.split_groups import SplitGroups, SplitSample, find_split_groups, find_test_overlap
from tests.builders.split_samples import IMAGE_SIZE, phash_of

LARGE_SIZE = 224, 224


def sample(digest: str, group: str | None = None, phash: bytes = b"") -> SplitSample:
    return SplitSample(f"{digest}.png", "a", None, digest, group, phash)


def linked_sets(groups: SplitGroups) -> set[frozenset[str]]:
    return {
        frozenset(digest for digest, unit in groups.by_digest.items() if unit == number)
        for number in set(groups.by_digest.values())
    }


def test_unrelated_samples_are_separate_groups() -> None:
    groups = find_split_groups(
        [sample("1"), sample("2", "p", phash_of("x")), sample("3", "q", phash_of("y")), sample("3", "q")],
        None,
        IMAGE_SIZE,
    )
    assert linked_sets(groups) == {frozenset("1"), frozenset("2"), frozenset("3")}


def test_duplicates_near_duplicates_and_groups_link_transitively() -> None:
    groups = find_split_groups(
        [
            sample("1", "p"),
            sample("2", "p", phash_of("x")),
            sample("3", None, phash_of("x", 5)),
            sample("3", "q"),
            sample("4", "q"),
            sample("5", "r"),
        ],
        None,
        IMAGE_SIZE,
    )
    assert linked_sets(groups) == {frozenset("1234"), frozenset("5")}
    assert groups.by_group == {"p": groups.by_digest["1"], "q": groups.by_digest["1"], "r": groups.by_digest["5"]}
    assert groups.clusters["2"] == groups.clusters["3"]
    assert "1" not in groups.clusters


def test_an_empty_group_name_links_nothing() -> None:
    assert len(linked_sets(find_split_groups([sample("1", ""), sample("2", "")], None, IMAGE_SIZE))) == 2


def test_a_group_named_like_a_digest_links_only_its_members() -> None:
    assert linked_sets(find_split_groups([sample("1", "2"), sample("2"), sample("3", "2")], None, IMAGE_SIZE)) == {
        frozenset("13"),
        frozenset("2"),
    }


def test_hashes_of_the_ledger_link_near_duplicates_of_deleted_files() -> None:
    ledger = Ledger(
        seed=0,
        image_size=IMAGE_SIZE,
        entries={"gone": "test", "far": "val"},
        hashes={"gone": phash_of("x").hex(), "far": phash_of("z").hex()},
    )
    samples = [
        sample("1", None, phash_of("x", 1)),
        sample("2", None, phash_of("x", 9)),
        sample("3", None, phash_of("y")),
    ]
    assert linked_sets(find_split_groups(samples, ledger, IMAGE_SIZE)) == {
        frozenset({"1", "2", "gone"}),
        frozenset("3"),
        frozenset({"far"}),
    }


def test_ignores_hashes_of_the_ledger_without_hashes_in_the_data() -> None:
    ledger = Ledger(seed=0, image_size=IMAGE_SIZE, entries={"gone": "test"}, hashes={"gone": phash_of("x").hex()})
    assert linked_sets(find_split_groups([sample("1")], ledger, IMAGE_SIZE)) == {frozenset("1")}


def test_finds_source_images_that_occur_in_the_test_split() -> None:
    test_samples = [sample("t1", None, phash_of("x")), sample("t2", None, phash_of("y")), sample("t3")]
    source = [
        sample("t1"),
        sample("s1", None, phash_of("x", 3)),
        sample("s2", None, phash_of("z")),
        sample("s3"),
        sample("t3"),
        sample("s4", None, phash_of("y")),
    ]
    assert find_test_overlap(source, test_samples, LARGE_SIZE) == [True, True, False, False, True, True]
    assert find_test_overlap(source, [], LARGE_SIZE) == [False] * 6
    assert find_test_overlap([], test_samples, LARGE_SIZE) == []


def test_near_duplicates_of_small_images_have_a_smaller_distance() -> None:
    distant = bytearray(phash_of("x"))
    distant[:3] = bytes(255 - byte for byte in distant[:3])  # 24 bits
    pair = [sample("1", None, phash_of("x")), sample("2", None, bytes(distant))]
    assert [len(linked_sets(find_split_groups(pair, None, image_size))) for image_size in ((28, 28), (224, 224))] == [
        2,
        1,
    ]
    assert [find_test_overlap(pair[:1], pair[1:], image_size) for image_size in ((28, 28), LARGE_SIZE)] == [
        [False],
        [True],
    ]
