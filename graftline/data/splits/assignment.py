"""Assignment of split groups to splits, from predefined splits, the ledger, and a random draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graftline.data.dataset import SplitName
from graftline.data.splits.class_draw import DrawOptions
from graftline.data.splits.ledger import Ledger, is_stricter, strictest
from graftline.data.splits.split_groups import SplitGroups, SplitSample
from graftline.data.splits.stratified_draw import draw_splits


@dataclass(frozen=True)
class SplitAssignment:
    """Splits of all samples, before limits per class."""

    samples: Sequence[SplitSample]
    predefined: Sequence[SplitName | None]
    """Predefined split of each sample, as it is used here."""
    splits: Sequence[SplitName | None]
    """Split of each sample; None for excluded samples."""
    predefined_of: Mapping[str, SplitName | None]
    """Digest to its strictest predefined split."""
    split_of: Mapping[str, SplitName | None]
    """Digest to its split; None for excluded digests."""
    group_splits: Mapping[int, SplitName]
    """Split group to split."""
    groups: SplitGroups
    ledger_entries: Mapping[str, SplitName]
    """Entries of the previous ledger."""


def assign_groups(
    samples: Sequence[SplitSample],
    predefined: Sequence[SplitName | None],
    groups: SplitGroups,
    ledger: Ledger,
    task: str,
    options: DrawOptions,
) -> SplitAssignment:
    """Assigns all samples: groups with a known split to the strictest one, the others by a stratified draw.

    Args:
        samples: All samples.
        predefined: Predefined split of each sample, as it is used here.
        groups: Split groups of the samples and the ledger.
        ledger: Previous ledger, or an empty one.
        task: Task of the labels.
        options: Seed and fractions of the draw.
    """
    predefined_of, labels = _by_digest(samples, predefined)
    # Of predefined splits, only train is divided further, and only if there is no val split.
    divides_train = "val" not in predefined
    fixed: dict[str, SplitName] = {
        digest: split for digest, split in predefined_of.items() if split and not (split == "train" and divides_train)
    }
    fixed.update(ledger.entries)
    group_splits = _known_group_splits(groups, fixed, ledger.groups)
    split_of: dict[str, SplitName | None] = {}
    for digest, split in predefined_of.items():
        if group_split := group_splits.get(groups.by_digest[digest]):
            # A sample of train that is not fixed may become validation, but not test.
            is_kept = fixed[digest] == group_split if digest in fixed else split is None or group_split != "test"
            split_of[digest] = group_split if is_kept else None
    to_draw = {
        digest: label
        for digest, label in labels.items()
        if predefined_of[digest] in (None, "train") and split_of.get(digest, "train")
    }
    assigned = {digest: split for digest, split in split_of.items() if split}
    drawn = draw_splits(task, to_draw, groups.by_digest, assigned, options)
    split_of.update(drawn)
    group_splits.update({groups.by_digest[digest]: split for digest, split in drawn.items()})
    splits = [
        None
        if _has_stricter_copy(split, predefined_of[sample.digest], split_of[sample.digest])
        else split_of[sample.digest]
        for sample, split in zip(samples, predefined, strict=True)
    ]
    return SplitAssignment(samples, predefined, splits, predefined_of, split_of, group_splits, groups, ledger.entries)


def _by_digest(
    samples: Sequence[SplitSample], predefined: Sequence[SplitName | None]
) -> tuple[dict[str, SplitName | None], dict[str, str]]:
    """Returns the strictest predefined split of each digest, and its class."""
    predefined_of: dict[str, SplitName | None] = {}
    labels: dict[str, str] = {}
    for sample, split in zip(samples, predefined, strict=True):
        other = predefined_of.get(sample.digest)
        predefined_of[sample.digest] = strictest([split, other]) if split and other else split or other
        labels[sample.digest] = min(sample.label, labels.get(sample.digest, sample.label))
    return predefined_of, labels


def _known_group_splits(
    groups: SplitGroups, fixed: Mapping[str, SplitName], ledger_groups: Mapping[str, SplitName]
) -> dict[int, SplitName]:
    """Returns the strictest known split of each split group that has one."""
    known = [(group, fixed.get(digest)) for digest, group in groups.by_digest.items()]
    known += [(group, ledger_groups.get(name)) for name, group in groups.by_group.items()]
    group_splits: dict[int, SplitName] = {}
    for group, split in known:
        if split:
            group_splits[group] = strictest([split, group_splits.get(group, split)])
    return group_splits


def _has_stricter_copy(own: SplitName | None, strictest_copy: SplitName | None, assigned: SplitName | None) -> bool:
    """Whether a copy of the sample has a stricter predefined split, and its digest is assigned to a stricter split."""
    return bool(own and strictest_copy and assigned and is_stricter(strictest_copy, own) and is_stricter(assigned, own))
