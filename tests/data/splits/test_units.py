from graftline.data.splits.ledger import Ledger
from graftline.data.splits.units import Item, Units, find, leaked
from tests.builders.split_items import SIDE, picture

PHOTO = 224, 224


def item(digest: str, group: str | None = None, phash: bytes = b"") -> Item:
    return Item(f"{digest}.png", "a", None, digest, group, phash)


def together(units: Units) -> set[frozenset[str]]:
    return {
        frozenset(digest for digest, unit in units.of.items() if unit == number) for number in set(units.of.values())
    }


def test_pictures_that_nothing_binds_are_units_of_their_own() -> None:
    units = find([item("1"), item("2", "p", picture("x")), item("3", "q", picture("y")), item("3", "q")], None, SIDE)
    assert together(units) == {frozenset("1"), frozenset("2"), frozenset("3")}


def test_a_chain_of_equal_near_and_grouped_is_one_unit() -> None:
    units = find(
        [
            item("1", "p"),
            item("2", "p", picture("x")),
            item("3", None, picture("x", 5)),
            item("3", "q"),
            item("4", "q"),
            item("5", "r"),
        ],
        None,
        SIDE,
    )
    assert together(units) == {frozenset("1234"), frozenset("5")}
    assert units.of_group == {"p": units.of["1"], "q": units.of["1"], "r": units.of["5"]}
    assert units.cluster["2"] == units.cluster["3"]
    assert "1" not in units.cluster


def test_an_empty_group_binds_nothing() -> None:
    assert len(together(find([item("1", ""), item("2", "")], None, SIDE))) == 2


def test_a_group_named_like_a_digest_binds_only_its_own() -> None:
    assert together(find([item("1", "2"), item("2"), item("3", "2")], None, SIDE)) == {frozenset("13"), frozenset("2")}


def test_a_picture_that_is_gone_still_binds_its_near_duplicates() -> None:
    ledger = Ledger(
        seed=0,
        image_size=SIDE,
        entries={"gone": "test", "far": "val"},
        hashes={"gone": picture("x").hex(), "far": picture("z").hex()},
    )
    found = [item("1", None, picture("x", 1)), item("2", None, picture("x", 9)), item("3", None, picture("y"))]
    assert together(find(found, ledger, SIDE)) == {frozenset({"1", "2", "gone"}), frozenset("3"), frozenset({"far"})}


def test_without_hashes_the_ledgers_do_not_count() -> None:
    ledger = Ledger(seed=0, image_size=SIDE, entries={"gone": "test"}, hashes={"gone": picture("x").hex()})
    assert together(find([item("1")], ledger, SIDE)) == {frozenset("1")}


def test_source_images_among_the_targets_test_images_are_found() -> None:
    tested = [item("t1", None, picture("x")), item("t2", None, picture("y")), item("t3")]
    source = [
        item("t1"),
        item("s1", None, picture("x", 3)),
        item("s2", None, picture("z")),
        item("s3"),
        item("t3"),
        item("s4", None, picture("y")),
    ]
    assert leaked(source, tested, PHOTO) == [True, True, False, False, True, True]
    assert leaked(source, [], PHOTO) == [False] * 6
    assert leaked([], tested, PHOTO) == []


def test_small_images_must_be_nearer() -> None:
    off = bytearray(picture("x"))
    off[:3] = bytes(255 - byte for byte in off[:3])  # 24 bits
    pair = [item("1", None, picture("x")), item("2", None, bytes(off))]
    assert [len(together(find(pair, None, side))) for side in ((28, 28), (224, 224))] == [2, 1]
    assert [leaked(pair[:1], pair[1:], side) for side in ((28, 28), PHOTO)] == [[False], [True]]
