"""Stratified random draw of split groups for every task, and iterative stratification for multilabel tasks."""

from collections import Counter
from collections.abc import Mapping, Sequence

from graftline.data.dataset import SplitName
from graftline.data.labels import LABEL_TYPES
from graftline.data.splits.class_draw import DrawOptions, draw_by_class, split_size, unassigned_groups
from graftline.data.splits.ledger import sampling_key
from graftline.data.stratification import ANY, iterative


def draw_splits(
    task: str,
    labels: Mapping[str, str],
    group_of: Mapping[str, int],
    assigned: Mapping[str, SplitName],
    options: DrawOptions,
) -> dict[str, SplitName]:
    """Assigns split groups to splits so that labels are distributed alike in all splits; see `draw_by_class`.

    Args:
        task: Decides what samples are stratified by: their class, their value's quantile bin, or all their labels.
        labels: Digest to label.
        group_of: Digest to split group; either all digests of a group are assigned or none.
        assigned: Digest to split, of samples that have one.
        options: Seed and fractions.
    """
    label_type = LABEL_TYPES[task]
    if label_type.is_multi_hot:
        names = {digest: label_type.names_in(text) for digest, text in labels.items()}
        return draw_by_labels(names, group_of, assigned, options)
    return draw_by_class(label_type.strata(labels), group_of, assigned, options)


def draw_by_labels(
    labels: Mapping[str, Sequence[str]],
    group_of: Mapping[str, int],
    assigned: Mapping[str, SplitName],
    options: DrawOptions,
) -> dict[str, SplitName]:
    """Assigns split groups of samples with any number of labels to splits, by iterative stratification.

    Args:
        labels: Digest to labels, of all distinct samples to draw from, including assigned ones.
        group_of: Digest to split group; either all digests of a group are assigned or none.
        assigned: Digest to split, of samples that have one; they count toward the fractions and do not move.
        options: Seed and fractions.

    Returns:
        A split for each digest. A label with two samples has one for training and one for test, or else validation.
    """
    groups = sorted(
        unassigned_groups(labels, group_of, assigned), key=lambda digests: sampling_key(options.seed, min(digests))
    )
    label_counts = [Counter(name for digest in group for name in (ANY, *labels[digest])) for group in groups]
    fractions: dict[SplitName, float] = {"test": options.test_fraction, "val": options.val_fraction}
    drawn = iterative(label_counts, _missing_counts(labels, fractions, assigned))
    splits = {digest: assigned[digest] for digest in labels if digest in assigned}
    splits.update((digest, split) for group, split in zip(groups, drawn, strict=True) for digest in group)
    return splits


def _missing_counts(
    labels: Mapping[str, Sequence[str]], fractions: Mapping[SplitName, float], assigned: Mapping[str, SplitName]
) -> dict[SplitName, Counter[str]]:
    """Returns how many images of each label each split still needs; train, which wins ties, comes first."""
    totals = Counter(name for names in labels.values() for name in (ANY, *names))
    missing: dict[SplitName, Counter[str]] = {"train": Counter(totals)}
    for split, fraction in fractions.items():
        if fraction > 0:
            missing[split] = Counter(
                {name: split_size(count, fraction, missing["train"][name] - 1) for name, count in totals.items()}
            )
            missing["train"].subtract(missing[split])
    for digest, names in labels.items():
        split_before = assigned.get(digest)
        if split_before is not None and split_before in missing:
            missing[split_before].subtract([ANY, *names])
    return missing
