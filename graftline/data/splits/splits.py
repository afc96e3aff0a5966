"""From decoded samples to training, validation and test: splits that the data give, the ledger, units, limits.

Equal pictures, near duplicates and groups form units. A unit that the data or the ledger know stands in the strictest
split known of it, and its members that have their place in another one are left out; all other units are drawn.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graftline.config import DEFAULT_TASK, Data
from graftline.data.dataset import SPLIT_NAMES, SplitName
from graftline.data.splits import findings
from graftline.data.splits.findings import Placed
from graftline.data.splits.ledger import Ledger, rank, stricter, strictest
from graftline.data.splits.stratify import draw_task
from graftline.data.splits.units import Item, Units, find, leaked
from graftline.runtime.errors import RefusedError

__all__ = ["Assigned", "Item", "assign", "leaked"]


@dataclass(frozen=True)
class Assigned:
    """What became of the items."""

    splits: list[SplitName | None]
    """One an item; None is left out of the dataset."""
    ledger: Ledger
    notes: list[str]
    """What was done."""
    warnings: list[str]
    """What is likely to be wrong with the data."""


def assign(
    items: Sequence[Item],
    data: Data,
    *,
    place: str,
    seed: int,
    side: tuple[int, int],
    needs_test: bool = True,
    previous: Ledger | None = None,
    task: str = DEFAULT_TASK,
) -> Assigned:
    """Gives each item its split, whatever their order.

    Args:
        items: All that could be decoded.
        data: Fractions and limits.
        place: For messages.
        seed: Of the draw; a previous ledger's own seed goes before.
        side: (H, W) of the decoded samples.
        needs_test: Whether a test split is drawn where none is given: not for a source, on which nothing is tested.
        previous: The ledger of an earlier run, whose entries do not change.
        task: What the labels are, which decides how the draw is stratified.

    Raises:
        RefusedError: No training split among those given, a previous ledger made at another size, or a class left
            without a training or test image.
    """
    before = previous or Ledger(seed=seed, image_size=side, entries={})
    if before.image_size != side:
        raise RefusedError(
            f"{place}: the ledger was drawn on images of {_size(before.image_size)}, these have "
            f"{_size(side)}: its entries would not be found again; set image_size to the ledger's"
        )
    given, notes = _roles(items, place, needs_test)
    placed = _placed(items, given, find(items, previous, side), data, before, needs_test, task)
    findings.check(placed, place, needs_test, task)
    splits, limited = _limit(items, placed.splits, data, before.seed)
    notes += findings.notes(placed, before if previous else None) + limited
    return Assigned(splits, _ledger(placed, before), notes, findings.warnings(placed, task))


def _size(side: tuple[int, int]) -> str:
    return f"{side[0]}x{side[1]} (H, W)"


def _roles(items: Sequence[Item], place: str, needs_test: bool) -> tuple[list[SplitName | None], list[str]]:
    """The given splits by what they are used for."""
    given = [item.given for item in items]
    names = {split for split in given if split}
    if not names:
        return given, []
    if "train" not in names:
        raise RefusedError(
            f"{place}: splits {sorted(names)} are given and no train; add a train split or give the "
            "data without split folders"
        )
    if names == {"train"}:
        return [None] * len(items), ["only a training split is given: the others are drawn from it"]
    if names == {"train", "val"} and needs_test:
        return (
            ["test" if split == "val" else split for split in given],
            ["given: train and val; val is held out, so it is the test split here; validation is drawn from train"],
        )
    return given, [f"given: {', '.join(name for name in SPLIT_NAMES if name in names)}"]


def _placed(
    items: Sequence[Item],
    given: Sequence[SplitName | None],
    units: Units,
    data: Data,
    before: Ledger,
    needs_test: bool,
    task: str,
) -> Placed:
    claims, label_of = _pictures(items, given)
    names = {split for split in given if split}
    # Where splits are given, only what they call train is divided further, and not at all where they have val.
    firm: dict[str, SplitName] = {
        digest: claim for digest, claim in claims.items() if claim and (claim != "train" or "val" in names)
    }
    firm.update(before.entries)
    standing = _standing(units, firm, before.groups)
    own: dict[str, SplitName | None] = {}
    for digest, claim in claims.items():
        if split := standing.get(units.of[digest]):
            # What is not firm and yet called train may become validation, but not test.
            kept = firm[digest] == split if digest in firm else claim is None or split != "test"
            own[digest] = split if kept else None
    pool = {
        digest: label
        for digest, label in label_of.items()
        if claims[digest] in (None, "train") and own.get(digest, "train")
    }
    drawn = draw_task(
        task,
        pool,
        units.of,
        {digest: split for digest, split in own.items() if split},
        seed=before.seed,
        val_fraction=0 if "val" in names else data.val_fraction,
        test_fraction=0 if "test" in names or not needs_test else data.test_fraction,
    )
    own.update(drawn)
    standing.update({units.of[digest]: split for digest, split in drawn.items()})
    splits = [
        None if _laxer(split, claims[item.digest], own[item.digest]) else own[item.digest]
        for item, split in zip(items, given, strict=True)
    ]
    return Placed(items, given, splits, claims, own, standing, units, before.entries)


def _pictures(
    items: Sequence[Item], given: Sequence[SplitName | None]
) -> tuple[dict[str, SplitName | None], dict[str, str]]:
    """The strictest split that the data give each digest, and its class."""
    claims: dict[str, SplitName | None] = {}
    label_of: dict[str, str] = {}
    for item, split in zip(items, given, strict=True):
        claim = claims.get(item.digest)
        claims[item.digest] = strictest([split, claim]) if split and claim else split or claim
        label_of[item.digest] = min(item.label, label_of.get(item.digest, item.label))
    return claims, label_of


def _standing(units: Units, firm: Mapping[str, SplitName], groups: Mapping[str, SplitName]) -> dict[int, SplitName]:
    """The strictest split that is known of each unit, where any is."""
    standing: dict[int, SplitName] = {}
    known = [(unit, firm.get(digest)) for digest, unit in units.of.items()]
    known += [(unit, groups.get(name)) for name, unit in units.of_group.items()]
    for unit, split in known:
        if split:
            standing[unit] = strictest([split, standing.get(unit, split)])
    return standing


def _laxer(given: SplitName | None, claim: SplitName | None, own: SplitName | None) -> bool:
    """Whether an item's place is laxer than that of the same picture elsewhere in the data, where that place holds."""
    return bool(given and claim and own and stricter(claim, given) and stricter(own, given))


def _ledger(placed: Placed, before: Ledger) -> Ledger:
    entries = {digest: split for digest, own in placed.own.items() if (split := own or placed.claims[digest])}
    groups = {name: placed.standing[unit] for name, unit in placed.units.of_group.items()}
    hashes = {item.digest: item.phash.hex() for item in placed.items if item.phash}
    return Ledger(
        seed=before.seed,
        image_size=before.image_size,
        entries={**entries, **before.entries},
        groups={**before.groups, **groups},
        hashes={**before.hashes, **hashes},
    )


def _limit(
    items: Sequence[Item], splits: Sequence[SplitName | None], data: Data, seed: int
) -> tuple[list[SplitName | None], list[str]]:
    """Keeps so many a class and split, in an order that only seed and samples decide; fewer are a part of more."""
    most: dict[SplitName, int | None] = {
        "train": data.train_per_class,
        "val": data.val_per_class,
        "test": data.test_per_class,
    }
    kept: list[SplitName | None] = list(splits)
    groups: dict[tuple[SplitName, str], list[int]] = defaultdict(list)
    for index, (item, split) in enumerate(zip(items, splits, strict=True)):
        if split and most[split] is not None:
            groups[split, item.label].append(index)
    for (name, _), group in groups.items():
        group.sort(key=lambda index: (rank(seed, items[index].digest), items[index].key))
        for index in group[most[name] :]:
            kept[index] = None
    return kept, [f"{name}: at most {count} a class, drawn by seed {seed}" for name, count in most.items() if count]
