"""The draw: units to splits, class by class, in an order that only the seed and the samples themselves decide."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from graftline.data.dataset import SplitName
from graftline.data.splits.ledger import rank

_Have = Counter[tuple[str, SplitName]]


@dataclass(frozen=True, slots=True)
class _Unit:
    rank: str
    digests: list[str]
    sizes: dict[str, int]
    """Digests of each class."""

    @property
    def label(self) -> str:
        """Its most frequent class."""
        return min(self.sizes, key=lambda label: (-self.sizes[label], label))


def draw(
    label_of: Mapping[str, str],
    unit_of: Mapping[str, int],
    known: Mapping[str, SplitName],
    *,
    seed: int,
    val_fraction: float,
    test_fraction: float,
) -> dict[str, SplitName]:
    """Assigns units of samples to splits, stratified by class.

    A unit counts for its most frequent class: it becomes test while, with half of it, test is not beyond its share;
    else val likewise; else train. So a share is missed by half a unit at most, and by none where units are single.

    Args:
        label_of: Digest to class, of all distinct samples that may be drawn from, the known ones too.
        unit_of: Digest to unit; all of a unit are known, or none.
        known: Digests that have their split already; they count towards the shares and do not move.
        seed: Decides the order together with the digests.
        val_fraction: Share of a class's distinct samples that becomes validation; 0 draws none.
        test_fraction: Likewise for test.

    Returns:
        A split for each digest of `label_of`, known ones as they were. A class of at least 3 units has at least one of
        each kind that is drawn and one for training; a class of 2 one for training and one for test, else validation.
    """
    splits = {digest: known[digest] for digest in label_of if digest in known}
    have: _Have = Counter((label_of[digest], split) for digest, split in splits.items())
    total = Counter(label_of.values())
    for label, units in sorted(_fresh(label_of, unit_of, known, seed).items()):
        test = share(total[label], test_fraction, total[label] - 1)
        val = share(total[label], val_fraction, total[label] - 1 - test)
        for unit, split in zip(units, _place(label, units, {"test": test, "val": val}, have), strict=True):
            splits.update(dict.fromkeys(unit.digests, split))
    return splits


def share(count: int, fraction: float, most: int) -> int:
    """Returns how many of `count` images a split wants: at least one where it may have one, `most` at most."""
    return min(max(1, round(fraction * count)), most) if fraction > 0 and most > 0 else 0


def _fresh(
    label_of: Mapping[str, str], unit_of: Mapping[str, int], known: Mapping[str, SplitName], seed: int
) -> dict[str, list[_Unit]]:
    """Units by class, each class in the order of the draw: a unit's rank is that of its smallest digest."""
    members: dict[int, list[str]] = defaultdict(list)
    for digest in label_of:
        if digest not in known:
            members[unit_of[digest]].append(digest)
    classes: dict[str, list[_Unit]] = defaultdict(list)
    for digests in members.values():
        sizes: dict[str, int] = {}
        for digest in digests:
            sizes[label_of[digest]] = sizes.get(label_of[digest], 0) + 1
        unit = _Unit(rank(seed, min(digests)), digests, sizes)
        classes[unit.label].append(unit)
    for units in classes.values():
        units.sort(key=lambda unit: unit.rank)
    return classes


def _place(label: str, units: list[_Unit], want: dict[SplitName, int], have: _Have) -> list[SplitName]:
    """A split for each unit of a class; adds them to `have`."""
    splits: list[SplitName] = []
    for position, unit in enumerate(units, start=1):
        half = unit.sizes[label] / 2
        fitting = [name for name, most in want.items() if have[label, name] + half <= most]
        last_for_train = position == len(units) and not have[label, "train"]
        split = "train" if last_for_train or not fitting else fitting[0]
        _count(have, unit, split, 1)
        splits.append(split)
    for name in [name for name, most in want.items() if most and not have[label, name]]:
        spare = [row for row, unit in enumerate(units) if have[label, splits[row]] > unit.sizes[label]]
        if spare:
            row = min(spare, key=lambda row: (units[row].sizes[label], units[row].rank))
            _count(have, units[row], splits[row], -1)
            _count(have, units[row], name, 1)
            splits[row] = name
    return splits


def _count(have: _Have, unit: _Unit, split: SplitName, times: int) -> None:
    for label, size in unit.sizes.items():
        have[label, split] += times * size
