"""What holds of any data, however equal, near and grouped pictures hang together."""

import hashlib
import itertools
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.data.dataset import SplitName
from graftline.data.duplicates.clusters import default_limit
from graftline.data.splits.splits import Assigned, Item
from tests.builders.split_items import SIDE, by_key, item, items, picture, split

MODES: dict[str, tuple[SplitName | None, ...]] = {
    "none": (None,),
    "two": ("train", "test"),
    "three": ("train", "val", "test"),
}


@st.composite
def tangles(draw: st.DrawFn) -> tuple[list[Item], list[Item]]:
    """Two lists of pictures that are equal, near or grouped by chance, with as many single ones as splits need."""
    given_names = MODES[draw(st.sampled_from(sorted(MODES)))]
    base = [
        item(f"base{name}{label}{number}", label, name, phash=picture(f"base{name}{label}{number}"))
        for name in given_names
        for label in "ab"
        for number in range(12)
    ]

    def one(key: int) -> Item:
        shown = draw(st.integers(0, 15))
        near = picture(f"shown{shown % 6}" if shown < 12 else f"shown{shown}", shown)
        return Item(
            f"key{key:02}",
            draw(st.sampled_from("ab")),
            draw(st.sampled_from([*given_names, None])),
            hashlib.sha256(f"shown{shown}".encode()).hexdigest(),
            draw(st.sampled_from([None, *"pqrs"])),
            near,
        )

    some = [one(key) for key in range(draw(st.integers(0, 16)))]
    cut = draw(st.integers(0, len(some)))
    return base + some[:cut], some[cut:]


def bound(one: Item, other: Item) -> bool:
    apart = (int.from_bytes(one.phash) ^ int.from_bytes(other.phash)).bit_count()
    return (
        one.digest == other.digest
        or apart <= default_limit(*SIDE)
        or (one.group is not None and one.group == other.group)
    )


def told(done: Assigned) -> int:
    """Images that the warnings say were left out."""
    return sum(int(text.split(": ")[1].split()[0]) for text in done.warnings if text.startswith("left out of"))


@given(tangles(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_the_order_of_items_decides_nothing(found: tuple[list[Item], list[Item]], random: Random) -> None:
    one = found[0] + found[1]
    other = random.sample(one, len(one))
    first, second = split(one), split(other)
    assert by_key(one, first) == by_key(other, second)
    assert (first.ledger.digest, first.notes, first.warnings) == (second.ledger.digest, second.notes, second.warnings)


@given(tangles())
@settings(deadline=None, max_examples=200)
def test_no_unit_stands_in_two_splits_and_all_that_is_left_out_is_told(found: tuple[list[Item], list[Item]]) -> None:
    whole = found[0] + found[1]
    done = split(whole)
    kept = [(one, name) for one, name in zip(whole, done.splits, strict=True) if name]
    assert all(
        name == other_name for (one, name), (other, other_name) in itertools.combinations(kept, 2) if bound(one, other)
    )
    assert told(done) == done.splits.count(None)
    assert set(done.ledger.entries) == set(done.ledger.hashes) == {one.digest for one in whole}


@given(tangles())
@settings(deadline=None, max_examples=200)
def test_additions_and_losses_of_files_move_no_old_one(found: tuple[list[Item], list[Item]]) -> None:
    old, new = found
    first = split(old)
    again = split(old, previous=first.ledger)
    assert (again.splits, again.ledger) == (first.splits, first.ledger)
    grown = split(old + new, previous=first.ledger)
    assert first.ledger.entries.items() <= grown.ledger.entries.items()
    assert all(now in (name, None) for name, now in zip(first.splits, grown.splits, strict=False))
    assert told(grown) == grown.splits.count(None)
    left = old[::2] + new + items(8, old[0].given, "more")
    fewer, before = by_key(left, split(left, previous=grown.ledger)), by_key(old + new, grown)
    assert all(fewer[key] in (name, None) for key, name in before.items() if name and key in fewer)


@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=20))
@settings(deadline=None, max_examples=40)
def test_many_small_additions_of_groups_keep_the_shares(batches: list[list[int]]) -> None:
    found, ledger = items(10), None
    for number, sizes in enumerate(batches):
        found = found + [
            item(f"{number}-{group}-{member}", "a", group=f"{number}-{group}")
            for group, size in enumerate(sizes)
            for member in range(size)
        ]
        done = split(found, previous=ledger, val_fraction=0.2, test_fraction=0.2)
        ledger = done.ledger
        have = Counter(name for one, name in zip(found, done.splits, strict=True) if one.label == "a")
        assert all(abs(have[name] - 0.2 * have.total()) <= 7 for name in ("val", "test"))
