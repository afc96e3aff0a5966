"""Assigns decoded samples to training, validation, and test: predefined splits, the ledger, split groups, limits.

A split group with a split in the data or the ledger belongs to its strictest known split, and its members that are
fixed to another split are excluded. All other groups are drawn at random.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from graftline.config import DEFAULT_TASK, Data
from graftline.data.dataset import SPLIT_NAMES, SplitName
from graftline.data.splits.assignment import SplitAssignment, assign_groups
from graftline.data.splits.class_draw import DrawOptions
from graftline.data.splits.ledger import Ledger, sampling_key
from graftline.data.splits.split_checks import check_splits
from graftline.data.splits.split_groups import SplitSample, find_split_groups
from graftline.data.splits.split_messages import describe_assignment, find_split_problems
from graftline.runtime.errors import RefusedError


@dataclass(frozen=True)
class SplitSettings:
    """Settings for the assignment of one task's samples."""

    data: Data
    """Fractions and limits."""
    location: str
    """Location of the data, for messages."""
    seed: int
    """Seed of the draw; the seed of a previous ledger takes precedence."""
    image_size: tuple[int, int]
    """(H, W) of the decoded samples."""
    needs_test: bool = True
    """Whether a test split is drawn if the data have none; False for a source, which is not tested."""
    previous: Ledger | None = None
    """Ledger of an earlier run, whose entries do not change."""
    task: str = DEFAULT_TASK
    """Task of the labels, which decides how the draw is stratified."""


@dataclass(frozen=True)
class SplitResult:
    """Splits of all samples, with the ledger and messages about them."""

    splits: list[SplitName | None]
    """Split of each sample; None for samples excluded from the dataset."""
    ledger: Ledger
    notes: list[str]
    """What was done."""
    warnings: list[str]
    """What is likely to be wrong with the data."""


def split_samples(samples: Sequence[SplitSample], settings: SplitSettings) -> SplitResult:
    """Assigns each sample to a split, independent of the order of the samples.

    Args:
        samples: All samples that were decoded.
        settings: Data settings, seed, size, and the previous ledger.

    Raises:
        RefusedError: The predefined splits have no training split, the previous ledger was made at another size, or a
            class has no training or test image left.
    """
    ledger = settings.previous or Ledger(seed=settings.seed, image_size=settings.image_size, entries={})
    if ledger.image_size != settings.image_size:
        raise RefusedError(
            f"{settings.location}: the ledger was made for images of {_format(ledger.image_size)}, but these have "
            f"{_format(settings.image_size)}, so its entries would not match; set image_size to the ledger's"
        )
    predefined, notes = _usable_splits(samples, settings)
    assignment = assign_groups(
        samples,
        predefined,
        find_split_groups(samples, ledger, settings.image_size),
        ledger,
        settings.task,
        _draw_options(predefined, settings, ledger.seed),
    )
    check_splits(assignment, settings.location, settings.task, needs_test=settings.needs_test)
    splits, limit_notes = _limit_per_class(samples, assignment.splits, settings.data, ledger.seed)
    notes += describe_assignment(assignment, has_previous=settings.previous is not None) + limit_notes
    return SplitResult(splits, _extend(ledger, assignment), notes, find_split_problems(assignment, settings.task))


def _format(image_size: tuple[int, int]) -> str:
    return f"{image_size[0]}x{image_size[1]} (H, W)"


def _usable_splits(samples: Sequence[SplitSample], settings: SplitSettings) -> tuple[list[SplitName | None], list[str]]:
    """Returns each sample's predefined split as it is used here, and a note about them."""
    predefined = [sample.predefined for sample in samples]
    names = {split for split in predefined if split}
    if not names:
        return predefined, []
    if "train" not in names:
        raise RefusedError(
            f"{settings.location}: the data have the splits {sorted(names)} but no train split; add one, or remove "
            "the split folders or column"
        )
    if names == {"train"}:
        return [None] * len(samples), ["the data have only a train split; the other splits are drawn from it"]
    if names == {"train", "val"} and settings.needs_test:
        return (
            ["test" if split == "val" else split for split in predefined],
            [
                "predefined splits: train and val; val is used as the test split, and a validation split is drawn "
                "from train"
            ],
        )
    return predefined, [f"predefined splits: {', '.join(name for name in SPLIT_NAMES if name in names)}"]


def _draw_options(predefined: Sequence[SplitName | None], settings: SplitSettings, seed: int) -> DrawOptions:
    """Returns the fractions of the splits that the data do not have."""
    return DrawOptions(
        seed=seed,
        val_fraction=0 if "val" in predefined else settings.data.val_fraction,
        test_fraction=0 if "test" in predefined or not settings.needs_test else settings.data.test_fraction,
    )


def _extend(ledger: Ledger, assignment: SplitAssignment) -> Ledger:
    """Returns the ledger with the new samples, groups, and hashes."""
    entries = {
        digest: entry
        for digest, split in assignment.split_of.items()
        if (entry := split or assignment.predefined_of[digest])
    }
    groups = {name: assignment.group_splits[group] for name, group in assignment.groups.by_group.items()}
    hashes = {sample.digest: sample.phash.hex() for sample in assignment.samples if sample.phash}
    return Ledger(
        seed=ledger.seed,
        image_size=ledger.image_size,
        entries={**entries, **ledger.entries},
        groups={**ledger.groups, **groups},
        hashes={**ledger.hashes, **hashes},
    )


def _limit_per_class(
    samples: Sequence[SplitSample], splits: Sequence[SplitName | None], data: Data, seed: int
) -> tuple[list[SplitName | None], list[str]]:
    """Applies the limits per class and split; a smaller limit keeps a subset of what a larger one keeps."""
    limits: dict[SplitName, int | None] = {
        "train": data.train_per_class,
        "val": data.val_per_class,
        "test": data.test_per_class,
    }
    limited: list[SplitName | None] = list(splits)
    indices: dict[tuple[SplitName, str], list[int]] = defaultdict(list)
    for index, (sample, split) in enumerate(zip(samples, splits, strict=True)):
        if split and limits[split] is not None:
            indices[split, sample.label].append(index)
    for (name, _), members in indices.items():
        members.sort(key=lambda index: (sampling_key(seed, samples[index].digest), samples[index].key))
        for index in members[limits[name] :]:
            limited[index] = None
    notes = [
        f"{name}: at most {limit} images per class, drawn with seed {seed}" for name, limit in limits.items() if limit
    ]
    return limited, notes
