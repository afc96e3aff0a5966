"""Stratified random draw of split groups, class by class, in an order that depends on the seed and the samples only."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from graftline.data.dataset import SplitName
from graftline.data.splits.ledger import sampling_key

_ClassCounts = Counter[tuple[str, SplitName]]


@dataclass(frozen=True)
class DrawOptions:
    """Seed and fractions of a draw."""

    seed: int
    """Seed that decides the order, together with the digests."""
    val_fraction: float
    """Fraction of each class's distinct samples drawn for validation; 0 draws none."""
    test_fraction: float
    """Fraction of each class's distinct samples drawn for test; 0 draws none."""


@dataclass(frozen=True, slots=True)
class _DrawGroup:
    """A split group that has no split yet."""

    key: str
    digests: list[str]
    class_counts: dict[str, int]
    """Number of digests of each class."""

    @property
    def label(self) -> str:
        """The most frequent class."""
        return min(self.class_counts, key=lambda label: (-self.class_counts[label], label))


def draw_by_class(
    labels: Mapping[str, str],
    group_of: Mapping[str, int],
    assigned: Mapping[str, SplitName],
    options: DrawOptions,
) -> dict[str, SplitName]:
    """Assigns split groups to splits, stratified by class.

    A split group counts for its most frequent class. It joins test while half of it still fits the test fraction,
    else val while half of it fits the val fraction, else train. A split therefore misses its fraction by at most half a
    group, and not at all if each group is a single sample.

    Args:
        labels: Digest to class, of all distinct samples to draw from, including assigned ones.
        group_of: Digest to split group; either all digests of a group are assigned or none.
        assigned: Digest to split, of samples that have one; they count toward the fractions and do not move.
        options: Seed and fractions.

    Returns:
        A split for each digest of `labels`, unchanged for assigned ones. A class of at least 3 groups has at least one
        in each split that is drawn and one for training; a class of 2 has one for training and one for test, or else
        for validation.
    """
    splits = {digest: assigned[digest] for digest in labels if digest in assigned}
    counts: _ClassCounts = Counter((labels[digest], split) for digest, split in splits.items())
    totals = Counter(labels.values())
    for label, groups in sorted(_groups_by_class(labels, group_of, assigned, options.seed).items()):
        n_test = split_size(totals[label], options.test_fraction, totals[label] - 1)
        n_val = split_size(totals[label], options.val_fraction, totals[label] - 1 - n_test)
        drawn = _draw_class(label, groups, {"test": n_test, "val": n_val}, counts)
        for group, split in zip(groups, drawn, strict=True):
            splits.update(dict.fromkeys(group.digests, split))
    return splits


def split_size(n_samples: int, fraction: float, maximum: int) -> int:
    """Returns the size of a split drawn from `n_samples`: at least 1 if `maximum` allows it, 0 for a fraction of 0."""
    return min(max(1, round(fraction * n_samples)), maximum) if fraction > 0 and maximum > 0 else 0


def unassigned_groups(
    digests: Mapping[str, object], group_of: Mapping[str, int], assigned: Mapping[str, SplitName]
) -> list[list[str]]:
    """Returns the digests of each split group that has no split yet."""
    members: dict[int, list[str]] = defaultdict(list)
    for digest in digests:
        if digest not in assigned:
            members[group_of[digest]].append(digest)
    return list(members.values())


def _groups_by_class(
    labels: Mapping[str, str], group_of: Mapping[str, int], assigned: Mapping[str, SplitName], seed: int
) -> dict[str, list[_DrawGroup]]:
    """Returns the unassigned groups of each class, sorted by the sampling key of their smallest digest."""
    classes: dict[str, list[_DrawGroup]] = defaultdict(list)
    for digests in unassigned_groups(labels, group_of, assigned):
        class_counts: dict[str, int] = {}
        for digest in digests:
            class_counts[labels[digest]] = class_counts.get(labels[digest], 0) + 1
        group = _DrawGroup(sampling_key(seed, min(digests)), digests, class_counts)
        classes[group.label].append(group)
    for groups in classes.values():
        groups.sort(key=lambda group: group.key)
    return classes


def _draw_class(
    label: str, groups: list[_DrawGroup], wanted: dict[SplitName, int], counts: _ClassCounts
) -> list[SplitName]:
    """Returns a split for each group of a class, and adds the groups to `counts`."""
    splits: list[SplitName] = []
    for position, group in enumerate(groups, start=1):
        half = group.class_counts[label] / 2
        open_splits = [name for name, size in wanted.items() if counts[label, name] + half <= size]
        is_last_for_train = position == len(groups) and not counts[label, "train"]
        split = "train" if is_last_for_train or not open_splits else open_splits[0]
        _add(counts, group, split, 1)
        splits.append(split)
    for name in [name for name, size in wanted.items() if size and not counts[label, name]]:
        # A split without a sample of the class takes the smallest group that is not the only one of its split.
        spare = [i for i, group in enumerate(groups) if counts[label, splits[i]] > group.class_counts[label]]
        if spare:
            index = min(spare, key=lambda i: (groups[i].class_counts[label], groups[i].key))
            _add(counts, groups[index], splits[index], -1)
            _add(counts, groups[index], name, 1)
            splits[index] = name
    return splits


def _add(counts: _ClassCounts, group: _DrawGroup, split: SplitName, sign: int) -> None:
    for label, size in group.class_counts.items():
        counts[label, split] += sign * size
