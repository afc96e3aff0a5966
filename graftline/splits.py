"""From decoded samples to training, validation and test: splits that the data give, the ledger, duplicates, limits."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from graftline.config import Data
from graftline.dataset import SPLIT_NAMES, SplitName
from graftline.errors import RefusedError
from graftline.ledger import Ledger, draw, rank, strictest


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded sample."""

    key: str
    label: str
    given: SplitName | None
    """The split that the data give it."""
    digest: str


@dataclass(frozen=True)
class Assigned:
    """What became of the items."""

    splits: list[SplitName | None]
    """One an item; None is left out of the dataset."""
    ledger: Ledger
    notes: list[str]


def assign(items: Sequence[Item], data: Data, *, place: str, seed: int, shape: tuple[int, int, int],
           needs_test: bool = True, previous: Ledger | None = None) -> Assigned:
    """Gives each item its split.

    Args:
        items: All that could be decoded.
        data: Fractions and limits.
        place: For messages.
        seed: Of the draw; a previous ledger's own seed goes before.
        shape: (C, H, W) of the decoded samples.
        needs_test: Whether a test split is drawn where none is given: not for a source, on which nothing is tested.
        previous: The ledger of an earlier run, whose entries do not change.

    Raises:
        RefusedError: No training split among those given, a previous ledger made at another shape, or a class left
            without a training or test image.
    """
    if previous is not None and previous.image_shape != shape:
        raise RefusedError(f"{place}: the ledger was drawn on images of {previous.image_shape} (C, H, W), these have "
                           f"{shape}: its entries would not be found again; set image_size to the ledger's")
    seed = seed if previous is None else previous.seed
    given, notes = _roles(items, place, needs_test)
    of_digest: dict[str, set[SplitName]] = defaultdict(set)
    label_of: dict[str, str] = {}
    for item, split in zip(items, given, strict=True):
        of_digest[item.digest].update([split] if split else [])
        label_of[item.digest] = min(item.label, label_of.get(item.digest, item.label))
    entries = _entries(of_digest, label_of, data, seed, needs_test, previous)
    splits: list[SplitName | None] = [
        None if split and split != strictest(list(of_digest[item.digest])) else entries[item.digest]
        for item, split in zip(items, given, strict=True)]
    notes += _duplicates(items, splits, previous, given)
    _check(items, splits, place, needs_test)
    splits, limited = _limit(items, splits, data, seed)
    return Assigned(splits, Ledger(seed=seed, image_shape=shape, entries=entries), notes + limited)


def _roles(items: Sequence[Item], place: str, needs_test: bool) -> tuple[list[SplitName | None], list[str]]:
    """The given splits by what they are used for."""
    given = [item.given for item in items]
    names = {split for split in given if split}
    if not names:
        return given, []
    if "train" not in names:
        raise RefusedError(f"{place}: splits {sorted(names)} are given and no train; add a train split or give the "
                           "data without split folders")
    if names == {"train"}:
        return [None] * len(items), ["only a training split is given: the others are drawn from it"]
    if names == {"train", "val"} and needs_test:
        return (["test" if split == "val" else split for split in given],
                ["given: train and val; val is held out, so it is the test split here; validation is drawn from train"])
    return given, [f"given: {', '.join(name for name in SPLIT_NAMES if name in names)}"]


def _entries(of_digest: dict[str, set[SplitName]], label_of: dict[str, str], data: Data, seed: int, needs_test: bool,
             previous: Ledger | None) -> dict[str, SplitName]:
    names = {split for splits in of_digest.values() for split in splits}
    known: dict[str, SplitName] = dict(previous.entries) if previous else {}
    for digest, splits in of_digest.items():
        if splits and (splits != {"train"} or "val" in names):
            known.setdefault(digest, strictest(list(splits)))
    # Where splits are given, only what they call train is divided further; the rest is fixed and no part of the shares.
    pool = {digest: label for digest, label in label_of.items() if of_digest[digest] <= {"train"}}
    drawn = draw(pool, known, seed=seed, val_fraction=0 if "val" in names else data.val_fraction,
                 test_fraction=0 if "test" in names or not needs_test else data.test_fraction)
    return {**drawn, **known}


def _duplicates(items: Sequence[Item], splits: Sequence[SplitName | None], previous: Ledger | None,
                given: Sequence[SplitName | None]) -> list[str]:
    notes = []
    counts = Counter(item.digest for item in items)
    labels: dict[str, set[str]] = defaultdict(set)
    for item in items:
        labels[item.digest].add(item.label)
    if twice := [count for count in counts.values() if count > 1]:
        notes.append(f"exact duplicates: {sum(twice):,} images show {len(twice):,} pictures; each stays in one split")
    if out := Counter(split for item, split, kept in zip(items, given, splits, strict=True) if kept is None):
        named = " and ".join(f"{out[name]:,} from {name}" for name in SPLIT_NAMES if out[name])
        notes.append(f"left out, because a stricter split has the same picture: {named}")
    if torn := sum(len(found) > 1 for found in labels.values()):
        notes.append(f"{torn:,} pictures stand in more than one class")
    if previous is not None and (kept := sum(digest in previous.entries for digest in counts)):
        notes.append(f"split ledger: {kept:,} pictures as before, {len(counts) - kept:,} new")
    return notes


def _check(items: Sequence[Item], splits: Sequence[SplitName | None], place: str, needs_test: bool) -> None:
    have = Counter((item.label, split) for item, split in zip(items, splits, strict=True))
    for label in sorted({item.label for item in items}):
        found = {name: have[label, name] for name in SPLIT_NAMES}
        for name in ("train", "test") if needs_test else ("train",):
            if not found[name]:
                raise RefusedError(f"{place}: class {label!r} has no {name} image left ({found}); it needs at least "
                                   "two different pictures, and one in each given split")


def _limit(items: Sequence[Item], splits: Sequence[SplitName | None], data: Data,
           seed: int) -> tuple[list[SplitName | None], list[str]]:
    """Keeps so many a class and split, in an order that only seed and samples decide; fewer are a part of more."""
    most: dict[SplitName, int | None] = {"train": data.train_per_class, "val": data.val_per_class,
                                         "test": data.test_per_class}
    kept: list[SplitName | None] = list(splits)
    groups: dict[tuple[SplitName, str], list[int]] = defaultdict(list)
    for index, (item, split) in enumerate(zip(items, splits, strict=True)):
        if split and most[split] is not None:
            groups[split, item.label].append(index)
    for (name, _), group in groups.items():
        group.sort(key=lambda index: (rank(seed, items[index].digest), items[index].key))
        for index in group[most[name]:]:
            kept[index] = None
    return kept, [f"{name}: at most {count} a class, drawn by seed {seed}" for name, count in most.items() if count]
