"""Merges decoded shards to a dataset: removes source images of the target's test split, assigns splits, writes it all.

The result depends on the samples only, not on the number of shards or on the order of shards or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graftline.config.jobs import PreprocessJob
from graftline.data import class_warnings, dataset, number_warnings
from graftline.data.dataset import SPLIT_NAMES, DatasetManifest, Page, SplitName, StoredSample
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.data.shards.decoded_shard import SampleRecord
from graftline.data.shards.shard_set import ShardSet, read_shards
from graftline.data.shards.statistics import channel_statistics, class_counts, output_statistics
from graftline.data.splits.ledger import Ledger
from graftline.data.splits.split_groups import SplitSample, find_test_overlap
from graftline.data.splits.split_samples import SplitResult, SplitSettings, split_samples
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError


@dataclass(frozen=True)
class TargetInfo:
    """What merging a source needs of the target's dataset."""

    shape: tuple[int, int, int]
    test_samples: list[SplitSample]


@dataclass(frozen=True)
class _Selection:
    """The images that become part of the dataset."""

    records: list[tuple[int, SampleRecord]]
    """Index of the shard, and record; in the order of the dataset."""
    samples: list[StoredSample]
    split_result: SplitResult
    n_leaked: int
    """Number of source images excluded because they occur in the target's test split."""

    @property
    def train_records(self) -> list[SampleRecord]:
        return [
            record for (_, record), sample in zip(self.records, self.samples, strict=True) if sample.split == "train"
        ]


def read_target_info(folder: Path) -> TargetInfo:
    """Reads what merging a source needs from the target's dataset artifact."""
    target = manifest.read(folder, DatasetManifest)
    test_samples = [
        SplitSample(sample.key, sample.label, None, sample.sha256, sample.group, bytes.fromhex(sample.phash))
        for sample in dataset.read_samples(folder)
        if sample.split == "test"
    ]
    return TargetInfo(target.image_shape, test_samples)


def merge_shards(
    job: PreprocessJob,
    folders: Sequence[Path],
    *,
    out: Path,
    target: TargetInfo | None,
    ledger: Ledger | None,
    page: Page,
) -> DatasetManifest:
    """Creates a dataset artifact from decoded shards.

    Args:
        job: The preprocessing job.
        folders: Decoded shards; those of other jobs are ignored.
        out: Folder for the artifact, without a manifest.
        target: The target, if a source is merged: source images that also occur in the target's test split are
            excluded, and no test split is drawn.
        ledger: Ledger of an earlier run.
        page: Renders the data page.

    Raises:
        RefusedError: A shard is missing, too many files are unreadable, or a class has no image left.
    """
    shards = read_shards(job, folders)
    selection = _select(job, shards, target, ledger)
    made = _manifest(job, shards, selection, target)
    _log(made)
    images = shards.read_images(selection.records)
    return dataset.write(out, made, images, selection.samples, selection.split_result.ledger.to_json(), page)


def _select(job: PreprocessJob, shards: ShardSet, target: TargetInfo | None, ledger: Ledger | None) -> _Selection:
    """Excludes leaked images, assigns splits, and sorts what is left into the order of the dataset."""
    location, image_size = str(job.data.data), shards.shape[1:]
    samples = [
        SplitSample(record.key, record.label, record.split, record.sha256, record.group, bytes.fromhex(record.phash))
        for _, record in shards.records
    ]
    is_leaked = find_test_overlap(samples, target.test_samples, image_size) if target else [False] * len(samples)
    kept = [index for index, leaked in enumerate(is_leaked) if not leaked]
    _check_classes_left(
        location,
        [] if LABEL_TYPES[job.task].is_numeric else shards.manifests[0].classes,
        _class_names({samples[index].label for index in kept}, job.task),
    )
    result = split_samples(
        [samples[index] for index in kept],
        SplitSettings(
            job.data, location, job.seed, image_size, needs_test=target is None, previous=ledger, task=job.task
        ),
    )
    chosen = [(shards.records[index], split) for index, split in zip(kept, result.splits, strict=True) if split]
    chosen.sort(key=_dataset_order)
    stored = [
        StoredSample(record.key, record.label, split, record.sha256, record.phash, record.group)
        for (_, record), split in chosen
    ]
    return _Selection([pair for pair, _ in chosen], stored, result, sum(is_leaked))


def _dataset_order(chosen: tuple[tuple[int, SampleRecord], SplitName]) -> tuple[int, str, str, str]:
    (_, record), split = chosen
    return SPLIT_NAMES.index(split), record.sha256, record.label, record.key


def _check_classes_left(location: str, classes: Sequence[str], left: set[str]) -> None:
    reason = "all of them are unreadable or occur in the target's test split"
    if missing := [label for label in classes if label not in left]:
        raise RefusedError(f"{location}: no image of class {', '.join(map(repr, missing))} is left: {reason}")
    if not left:
        raise RefusedError(f"{location}: no image is left: {reason}")


def _class_names(labels: set[str], task: str) -> set[str]:
    """Returns the classes that occur in some labels."""
    label_type = LABEL_TYPES[task]
    return labels if label_type.is_numeric else {name for text in labels for name in label_type.names_in(text)}


def _manifest(
    job: PreprocessJob, shards: ShardSet, selection: _Selection, target: TargetInfo | None
) -> DatasetManifest:
    first, samples = shards.manifests[0], selection.samples
    task = job.task if first.classes else UNLABELED
    is_numeric = LABEL_TYPES[task].is_numeric
    counts = {} if is_numeric else class_counts(samples, task, first.classes)
    train_records = selection.train_records
    mean, std = channel_statistics(train_records, shards.shape)
    target_mean, target_std = output_statistics(
        [record.label for record in train_records], job.task, first.classes, str(job.data.data)
    )
    sides = np.array([record.side for _, record in shards.records])
    label_warnings = (
        number_warnings.find_problems(samples, first.classes, target_mean, target_std)
        if is_numeric
        else class_warnings.find_problems(counts, first.classes, task)
    )
    return DatasetManifest(
        label=job.label,
        task=task,
        format=first.format,
        classes=first.classes,
        target_mean=target_mean,
        target_std=target_std,
        sizes={name: sum(sample.split == name for sample in samples) for name in SPLIT_NAMES},
        counts=counts,
        layout=first.layout,
        image_shape=shards.shape,
        target_channels=target.shape[0] if target else None,
        mean=mean,
        std=std,
        dropped=shards.dropped,
        leaked=selection.n_leaked,
        notes=[
            *first.notes,
            *_describe_storage(shards, int((sides < min(shards.shape[1:])).sum())),
            *selection.split_result.notes,
        ],
        warnings=[
            *first.warnings,
            *_describe_ungrouped(job, shards),
            *selection.split_result.warnings,
            *label_warnings,
        ],
        original_sides=[int(side) for side in np.quantile(sides, (0, 0.25, 0.5, 0.75, 1), method="nearest")],
        seed=job.seed,
        ledger=selection.split_result.ledger.digest,
        fingerprint=job.fingerprint,
        digest=dataset.content_digest(samples, task),
    )


def _describe_storage(shards: ShardSet, n_enlarged: int) -> list[str]:
    _, height, width = shards.shape
    notes = [f"stored at {height}x{width}: images of another size are scaled to cover it and center-cropped"]
    if n_enlarged:
        notes.append(f"{n_enlarged:,} images are smaller than that and were enlarged")
    if shards.manifests[0].layout == "jpeg":
        notes.append("stored as JPEG of quality 95, because raw pixels would exceed packed_above")
    return notes


def _describe_ungrouped(job: PreprocessJob, shards: ShardSet) -> list[str]:
    """Returns a warning about the images that the group pattern does not match."""
    pattern = job.data.group_pattern
    ungrouped = [record.key for _, record in shards.records if not record.group]
    if pattern is None or not ungrouped:
        return []
    if len(ungrouped) == len(shards.records):
        raise RefusedError(
            f"{job.data.data}: group_pattern {pattern!r} matches no file name or path, such as {ungrouped[0]!r}; fix it"
        )
    return [
        f"group_pattern does not match {len(ungrouped):,} of {len(shards.records):,} images, such as {ungrouped[0]!r}"
    ]


def _log(made: DatasetManifest) -> None:
    sizes = ", ".join(f"{count:,} {name}" for name, count in made.sizes.items())
    events.log(f"{sizes}; {len(made.dropped):,} dropped, {made.leaked:,} leaked")
    for note in made.notes:
        events.log(note)
    for warning in made.warnings:
        events.log(f"warning: {warning}")
