"""Notes and warnings about an assignment of splits."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import SPLIT_NAMES, SplitName
from graftline.data.labels import LABEL_TYPES
from graftline.data.splits.assignment import SplitAssignment
from graftline.data.splits.split_groups import SplitSample

_Overlap = Literal["exact duplicates", "near duplicates", "same group"]
_DUPLICATES: tuple[_Overlap, ...] = ("exact duplicates", "near duplicates")
_LARGE_CLUSTER = 0.05  # share of all distinct images
_MIN_LARGE_CLUSTER = 10  # images


def describe_assignment(assignment: SplitAssignment, *, has_previous: bool) -> list[str]:
    """Returns notes about duplicates, groups, and the previous ledger.

    Args:
        assignment: The splits.
        has_previous: Whether the ledger of an earlier run was given.
    """
    counts = Counter(sample.digest for sample in assignment.samples)
    notes = []
    if copies := [count for count in counts.values() if count > 1]:
        notes.append(
            f"exact duplicates: {sum(copies):,} images have only {len(copies):,} distinct contents; copies stay in one "
            "split"
        )
    if sizes := [size for size in _cluster_sizes(assignment).values() if size > 1]:
        notes.append(
            f"near duplicates: {sum(sizes):,} distinct images in {len(sizes):,} clusters; each cluster stays in one "
            "split"
        )
    if groups := assignment.groups.by_group:
        notes.append(f"groups: {len(groups):,}; each group stays in one split")
    return [*notes, *_describe_ledger(assignment)] if has_previous else notes


def _describe_ledger(assignment: SplitAssignment) -> list[str]:
    entries, predefined_of = assignment.ledger_entries, assignment.predefined_of
    n_known = sum(digest in entries for digest in predefined_of)
    notes = [f"split ledger: {n_known:,} distinct images keep their split, {len(predefined_of) - n_known:,} are new"]
    is_train_divided = "val" not in assignment.predefined
    n_moved = sum(
        bool(split and split != entry and not (is_train_divided and (split, entry) == ("train", "val")))
        for digest, split in predefined_of.items()
        if (entry := entries.get(digest))
    )
    if n_moved:
        notes.append(
            f"split ledger: {n_moved:,} distinct images keep the split of an earlier run, although the data now "
            "specify another one"
        )
    return notes


def find_split_problems(assignment: SplitAssignment, task: str = DEFAULT_TASK) -> list[str]:
    """Returns warnings about what is likely to be wrong with the data."""
    return [
        *_describe_excluded(assignment),
        *_divided_groups(assignment),
        *_ambiguous_labels(assignment, task),
        *_large_cluster(assignment),
    ]


def _describe_excluded(assignment: SplitAssignment) -> list[str]:
    excluded: dict[tuple[SplitName, SplitName], dict[_Overlap, list[SplitSample]]] = defaultdict(
        lambda: defaultdict(list)
    )
    cluster_splits = _cluster_splits(assignment)
    for sample, predefined, split in zip(assignment.samples, assignment.predefined, assignment.splits, strict=True):
        if split is None:
            kept = assignment.group_splits[assignment.groups.by_digest[sample.digest]]
            is_exact = assignment.split_of[sample.digest] is not None
            is_near = (assignment.groups.clusters.get(sample.digest), kept) in cluster_splits
            own = (
                predefined
                if is_exact
                else assignment.ledger_entries.get(sample.digest, assignment.predefined_of[sample.digest])
            )
            assert own  # only samples with a known split are excluded
            overlap: _Overlap = "exact duplicates" if is_exact else "near duplicates" if is_near else "same group"
            excluded[own, kept][overlap].append(sample)
    messages = []
    for own, kept in sorted(excluded, key=lambda pair: [SPLIT_NAMES.index(name) for name in pair]):
        overlaps = excluded[own, kept]
        if samples := [sample for overlap in _DUPLICATES for sample in overlaps[overlap]]:
            counts = ", ".join(f"{len(overlaps[overlap]):,} {overlap}" for overlap in _DUPLICATES if overlaps[overlap])
            messages.append(
                f"excluded from {own}: {len(samples):,} images that also occur in {kept} ({counts}, "
                f"{_example(assignment, samples, kept)})"
            )
        if samples := overlaps["same group"]:
            messages.append(
                f"excluded from {own}: {len(samples):,} images that groups link to {kept} "
                f"({_example(assignment, samples, kept)})"
            )
    return messages


def _cluster_splits(assignment: SplitAssignment) -> set[tuple[int | None, SplitName]]:
    """Returns the pairs of a near-duplicate cluster and a split with members of it, including the ledger's."""
    return {
        (cluster, split)
        for digest, cluster in assignment.groups.clusters.items()
        if (split := assignment.split_of.get(digest, assignment.ledger_entries.get(digest)))
    }


def _example(assignment: SplitAssignment, excluded: Sequence[SplitSample], kept_split: SplitName) -> str:
    """Names one of the excluded images, and the most similar one in the stricter split."""
    clusters, group_of = assignment.groups.clusters, assignment.groups.by_digest
    first = min(excluded, key=lambda sample: sample.key)

    def dissimilarity(sample: SplitSample) -> tuple[bool, bool, bool, str]:
        is_near = sample.digest in clusters and clusters[sample.digest] == clusters.get(first.digest)
        return (sample.digest != first.digest, not is_near, sample.group != first.group, sample.key)

    closest = min(
        (
            sample
            for sample, split in zip(assignment.samples, assignment.splits, strict=True)
            if split == kept_split and group_of[sample.digest] == group_of[first.digest]
        ),
        key=dissimilarity,
        default=None,
    )
    return f"such as {first.key!r} and {repr(closest.key) if closest else 'an image of an earlier run'}"


def _divided_groups(assignment: SplitAssignment) -> list[str]:
    splits: dict[str, set[SplitName | None]] = defaultdict(set)
    for sample, split in zip(assignment.samples, assignment.splits, strict=True):
        if sample.group:
            splits[sample.group].add(split)
    divided = sorted(group for group, names in splits.items() if len(names) > 1)
    if not divided:
        return []
    return [
        f"{len(divided):,} groups occur in more than one split, such as {divided[0]!r}; only their images in the "
        "strictest split are kept"
    ]


def _ambiguous_labels(assignment: SplitAssignment, task: str) -> list[str]:
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in assignment.samples:
        labels[sample.digest].add(sample.label)
    ambiguous = [sample for sample in assignment.samples if len(labels[sample.digest]) > 1]
    if not ambiguous:
        return []
    first = min(ambiguous, key=lambda sample: sample.key)
    other = min(
        (sample for sample in ambiguous if sample.digest == first.digest and sample.label != first.label),
        key=lambda sample: sample.key,
    )
    count = len({sample.digest for sample in ambiguous})
    problem = "occur in more than one class" if LABEL_TYPES[task].is_class else "have more than one label"
    return [
        f"{count:,} distinct images {problem}, such as {first.key!r} ({first.label}) and {other.key!r} ({other.label})"
    ]


def _cluster_sizes(assignment: SplitAssignment) -> Counter[int]:
    """Returns the number of distinct images of each near-duplicate cluster."""
    clusters = assignment.groups.clusters
    return Counter(clusters[digest] for digest in assignment.predefined_of if digest in clusters)


def _large_cluster(assignment: SplitAssignment) -> list[str]:
    total = len(assignment.predefined_of)
    sizes = _cluster_sizes(assignment)
    large = {cluster for cluster, size in sizes.items() if size > max(_LARGE_CLUSTER * total, _MIN_LARGE_CLUSTER)}
    if not large:
        return []
    clusters = assignment.groups.clusters
    example = min(sample.key for sample in assignment.samples if clusters.get(sample.digest) in large)
    return [
        f"{max(sizes.values()):,} of {total:,} distinct images are near duplicates of each other, such as {example!r}, "
        "and stay in one split; if they show different things, set near_duplicates: false"
    ]
