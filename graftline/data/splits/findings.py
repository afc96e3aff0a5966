"""What a draw found out about the data: notes, warnings, and the refusal of a class that cannot be split."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import SPLIT_NAMES, SplitName
from graftline.data.labels import LABEL_TYPES
from graftline.data.splits.ledger import Ledger
from graftline.data.splits.units import Item, Units
from graftline.runtime.errors import RefusedError

_Kind = Literal["the same", "nearly the same", "of the same group"]
_PICTURE: tuple[_Kind, ...] = ("the same", "nearly the same")
_LARGE = 0.05
_FEW = 10


@dataclass(frozen=True)
class Placed:
    """Items in their splits, before limits."""

    items: Sequence[Item]
    given: Sequence[SplitName | None]
    """By what they are used for, one an item."""
    splits: Sequence[SplitName | None]
    """One an item; None is left out."""
    claims: Mapping[str, SplitName | None]
    """Digest to the strictest split that the data give it."""
    own: Mapping[str, SplitName | None]
    """Digest to its split; None is left out."""
    standing: Mapping[int, SplitName]
    """Unit to split."""
    units: Units
    known: Mapping[str, SplitName]
    """Entries of the ledger as it was."""


def notes(placed: Placed, previous: Ledger | None) -> list[str]:
    """Says what was done."""
    counts = Counter(item.digest for item in placed.items)
    found = []
    if twice := [count for count in counts.values() if count > 1]:
        found.append(f"exact duplicates: {sum(twice):,} images show {len(twice):,} pictures; each stays in one split")
    if near := [size for size in _cluster_sizes(placed).values() if size > 1]:
        found.append(f"near duplicates: {sum(near):,} pictures in {len(near):,} sets; each stays in one split")
    if grouped := placed.units.of_group:
        found.append(f"groups: {len(grouped):,}; each stays in one split")
    if previous is None:
        return found
    kept = sum(digest in placed.known for digest in counts)
    found.append(f"split ledger: {kept:,} pictures as before, {len(counts) - kept:,} new")
    divided = "val" not in placed.given
    moved = sum(
        bool(claim and claim != known and not (divided and (claim, known) == ("train", "val")))
        for digest, claim in placed.claims.items()
        if (known := placed.known.get(digest))
    )
    if moved:
        found.append(
            f"split ledger: {moved:,} pictures stay in the split of an earlier run, though the data give "
            "them another one now"
        )
    return found


def warnings(placed: Placed, task: str = DEFAULT_TASK) -> list[str]:
    """Says what is likely to be wrong with the data."""
    return [*_leakage(placed), *_torn_groups(placed), *_two_labels(placed, task), *_large_cluster(placed)]


def check(placed: Placed, place: str, needs_test: bool, task: str = DEFAULT_TASK) -> None:
    """Refuses a class without a training or test image, and says why it has none.

    Where labels are numbers the data count as a whole; of several labels each needs a training image.
    """
    if not LABEL_TYPES[task].is_class:
        _check_others(placed, place, needs_test, task)
        return
    have = Counter((item.label, split) for item, split in zip(placed.items, placed.splits, strict=True))
    for label in sorted({item.label for item in placed.items}):
        found = {name: have[label, name] for name in SPLIT_NAMES}
        for name in ("train", "test") if needs_test else ("train",):
            if not found[name]:
                what = f"class {label!r}" if label else "the data"
                raise RefusedError(f"{place}: {what} has no {name} image left ({found}); {_why(placed, label)}")


def _check_others(placed: Placed, place: str, needs_test: bool, task: str) -> None:
    have = Counter(placed.splits)
    for name in ("train", "test") if needs_test else ("train",):
        if not have[name]:
            raise RefusedError(
                f"{place}: no {name} image is left; give at least two different pictures that no group "
                "ties together, and one in each given split"
            )
    names_in = LABEL_TYPES[task].names_in
    names = {name for item in placed.items for name in names_in(item.label)}
    trained = {
        name
        for item, split in zip(placed.items, placed.splits, strict=True)
        if split == "train"
        for name in names_in(item.label)
    }
    if missing := sorted(names - trained):
        raise RefusedError(
            f"{place}: no training image has the label {', '.join(map(repr, missing[:10]))}"
            f"{', ...' if len(missing) > 10 else ''}; add some, or name the other labels under "
            "`classes:`"
        )


def _why(placed: Placed, label: str) -> str:
    rows = sorted(
        (row for row, item in enumerate(placed.items) if item.label == label), key=lambda row: placed.items[row].key
    )
    digests = {placed.items[row].digest for row in rows}
    units = {placed.units.of[digest] for digest in digests}
    needs = "it needs at least two different pictures, and one in each given split"
    if len(digests) > 1 and len(units) == 1:
        return (
            f"all its {len(rows):,} images {_bond(placed, rows)}, which must not be split; give images of another "
            "one, or, if these may be split, no group or near_duplicates: false"
        )
    if gone := [row for row in rows if placed.splits[row] is None]:
        return (
            f"{len(gone):,} of its {len(rows):,} images were left out, because a stricter split has the same, a "
            f"nearly equal one or one of their group, such as {placed.items[gone[0]].key!r}; {needs}"
        )
    if len(units) < len(digests):
        return (
            f"its {len(digests):,} different pictures form {len(units):,} sets that must not be split (groups, "
            "near duplicates), some bound to other classes or to an earlier run; give images that are not"
        )
    return needs


def _bond(placed: Placed, rows: Sequence[int]) -> str:
    groups = {placed.items[row].group for row in rows}
    clusters = {placed.units.cluster.get(placed.items[row].digest) for row in rows}
    if len(groups) == 1 and all(groups):
        return f"are of one group ({groups.pop()!r})"
    if len(clusters) == 1 and None not in clusters:
        return "are nearly the same picture"
    return "hang together by groups and near duplicates as one set"


def _leakage(placed: Placed) -> list[str]:
    found: dict[tuple[SplitName, SplitName], dict[_Kind, list[Item]]] = defaultdict(lambda: defaultdict(list))
    held = _held_clusters(placed)
    for item, given, split in zip(placed.items, placed.given, placed.splits, strict=True):
        if split is None:
            to = placed.standing[placed.units.of[item.digest]]
            same = placed.own[item.digest] is not None
            near = (placed.units.cluster.get(item.digest), to) in held
            source = given if same else placed.known.get(item.digest, placed.claims[item.digest])
            assert source  # only what has a place of its own is left out
            found[source, to]["the same" if same else "nearly the same" if near else "of the same group"].append(item)
    messages = []
    for source, to in sorted(found, key=lambda pair: [SPLIT_NAMES.index(name) for name in pair]):
        kinds = found[source, to]
        counted = ", ".join(f"{len(kinds[kind]):,} {kind}" for kind in _PICTURE if kinds[kind])
        if counted:
            items = [item for kind in _PICTURE for item in kinds[kind]]
            messages.append(
                f"left out of {source}: {len(items):,} images that {to} has too ({counted}, {_pair(placed, items, to)})"
            )
        if items := kinds["of the same group"]:
            messages.append(
                f"left out of {source}: {len(items):,} images that groups tie to {to} ({_pair(placed, items, to)})"
            )
    return messages


def _held_clusters(placed: Placed) -> set[tuple[int | None, SplitName]]:
    """Near-duplicate clusters with the splits that they have members in, those that only the ledger has among them."""
    return {
        (cluster, split)
        for digest, cluster in placed.units.cluster.items()
        if (split := placed.own.get(digest, placed.known.get(digest)))
    }


def _pair(placed: Placed, items: Sequence[Item], to: SplitName) -> str:
    """One of the images that were left out, and the one in the stricter split that is closest to it."""
    cluster, unit = placed.units.cluster, placed.units.of
    one = min(items, key=lambda item: item.key)

    def apart(item: Item) -> tuple[bool, bool, bool, str]:
        near = item.digest in cluster and cluster[item.digest] == cluster.get(one.digest)
        return (item.digest != one.digest, not near, item.group != one.group, item.key)

    best = min(
        (
            item
            for item, split in zip(placed.items, placed.splits, strict=True)
            if split == to and unit[item.digest] == unit[one.digest]
        ),
        key=apart,
        default=None,
    )
    return f"such as {one.key!r} and {repr(best.key) if best else 'one of an earlier run'}"


def _torn_groups(placed: Placed) -> list[str]:
    places: dict[str, set[SplitName | None]] = defaultdict(set)
    for item, split in zip(placed.items, placed.splits, strict=True):
        if item.group:
            places[item.group].add(split)
    torn = sorted(group for group, found in places.items() if len(found) > 1)
    return (
        [f"{len(torn):,} groups stand in more than one split, such as {torn[0]!r}; each keeps its strictest only"]
        if torn
        else []
    )


def _two_labels(placed: Placed, task: str) -> list[str]:
    labels: dict[str, set[str]] = defaultdict(set)
    for item in placed.items:
        labels[item.digest].add(item.label)
    torn = [item for item in placed.items if len(labels[item.digest]) > 1]
    if not torn:
        return []
    one = min(torn, key=lambda item: item.key)
    other = min(
        (item for item in torn if item.digest == one.digest and item.label != one.label), key=lambda item: item.key
    )
    count = len({item.digest for item in torn})
    what = "stand in more than one class" if LABEL_TYPES[task].is_class else "have more than one label"
    return [f"{count:,} pictures {what}, such as {one.key!r} ({one.label}) and {other.key!r} ({other.label})"]


def _cluster_sizes(placed: Placed) -> Counter[int]:
    """Different pictures of each near-duplicate cluster."""
    cluster = placed.units.cluster
    return Counter(cluster[digest] for digest in placed.claims if digest in cluster)


def _large_cluster(placed: Placed) -> list[str]:
    total = len(placed.claims)
    sizes = _cluster_sizes(placed)
    large = {name for name, size in sizes.items() if size > max(_LARGE * total, _FEW)}
    if not large:
        return []
    example = min(item.key for item in placed.items if placed.units.cluster.get(item.digest) in large)
    most = max(sizes.values())
    return [
        f"{most:,} of {total:,} pictures are nearly the same, such as {example!r}, and stay in one split; if they "
        "show different things, set near_duplicates: false"
    ]
