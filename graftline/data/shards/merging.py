"""Parts to a dataset: leaks left out, splits drawn, statistics summed, images put in order, all of it described.

The result depends on the samples alone: not on the number of parts, nor on their order or that of the files.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graftline.config.jobs import PreprocessJob
from graftline.data import class_checks, dataset, number_checks
from graftline.data.dataset import SPLIT_NAMES, DatasetManifest, Dropped, Page, SplitName, StoredSample
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.data.shards.part import PIXELS, PartManifest, Record, read_records
from graftline.data.splits.ledger import Ledger
from graftline.data.splits.splits import Assigned, Item, assign, leaked
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text


@dataclass(frozen=True)
class Target:
    """What a source must know of the target's dataset."""

    shape: tuple[int, int, int]
    tested: list[Item]
    """Its test split."""


@dataclass(frozen=True)
class _Parts:
    """All parts of one task."""

    folders: list[Path]
    manifests: list[PartManifest]
    records: list[tuple[int, Record]]
    """Part and record, in the order of the keys."""
    shape: tuple[int, int, int]
    dropped: list[Dropped]


def target_of(folder: Path) -> Target:
    """Reads what a source must know of the target's dataset artifact."""
    found = manifest.read(folder, DatasetManifest)
    tested = [
        Item(sample.key, sample.label, None, sample.sha256, sample.group, bytes.fromhex(sample.phash))
        for sample in dataset.read_samples(folder)
        if sample.split == "test"
    ]
    return Target(found.image_shape, tested)


def merge(
    job: PreprocessJob, folders: Sequence[Path], *, out: Path, target: Target | None, ledger: Ledger | None, page: Page
) -> DatasetManifest:
    """Makes a dataset artifact of decoded parts.

    Args:
        job: What was asked for.
        folders: Parts; those of other jobs among them are passed over.
        out: Folder for the artifact, without a manifest.
        target: Where a source is merged: its images in the target's test split are left out, no test split is drawn.
        ledger: Of an earlier run.
        page: Makes the data page.

    Raises:
        RefusedError: A shard is missing, too much was unreadable, or a class has no image left.
    """
    parts = _parts(job, folders)
    _few_dropped(str(job.data.data), parts, job.data.max_dropped)
    chosen, assigned, leaks = _chosen(job, parts, target, ledger)
    samples = [
        StoredSample(record.key, record.label, split, record.sha256, record.phash, record.group)
        for (_, record), split in chosen
    ]
    trained = [record for (_, record), split in chosen if split == "train"]
    whole = _manifest(job, parts, samples, trained, assigned, target, leaks)
    _tell(whole)
    images = _images(parts, [row for row, _ in chosen])
    return dataset.write(out, whole, images, samples, assigned.ledger.to_json(), page)


def _chosen(
    job: PreprocessJob, parts: _Parts, target: Target | None, ledger: Ledger | None
) -> tuple[list[tuple[tuple[int, Record], SplitName]], Assigned, int]:
    """What becomes part of the dataset, in its order; how splits were assigned; how many images leaked."""
    place = str(job.data.data)
    items = [
        Item(record.key, record.label, record.split, record.sha256, record.group, bytes.fromhex(record.phash))
        for _, record in parts.records
    ]
    out_of = leaked(items, target.tested, parts.shape[1:]) if target else [False] * len(items)
    kept = [row for row, leaks in enumerate(out_of) if not leaks]
    _none_gone(
        place,
        [] if LABEL_TYPES[job.task].is_numeric else parts.manifests[0].classes,
        _named({items[row].label for row in kept}, job.task),
    )
    assigned = assign(
        [items[row] for row in kept],
        job.data,
        place=place,
        seed=job.seed,
        side=parts.shape[1:],
        needs_test=target is None,
        previous=ledger,
        task=job.task,
    )
    chosen = [(parts.records[row], split) for row, split in zip(kept, assigned.splits, strict=True) if split]
    chosen.sort(key=lambda pair: (SPLIT_NAMES.index(pair[1]), pair[0][1].sha256, pair[0][1].label, pair[0][1].key))
    return chosen, assigned, sum(out_of)


def _parts(job: PreprocessJob, folders: Sequence[Path]) -> _Parts:
    mine = digest_text(job.to_json())
    found = sorted(
        ((known, folder) for folder in folders for known in [manifest.read(folder, PartManifest)] if known.job == mine),
        key=lambda pair: pair[0].shard,
    )
    if not found:
        raise RefusedError(f"{job.data.data}: no decoded shard of it is here; run `decode` with the same job")
    shards = found[0][0].shards
    if missing := sorted(set(range(shards)) - {known.shard for known, _ in found}):
        raise RefusedError(f"{job.data.data}: of {shards} shards {missing} (counted from 0) are missing; run them")
    manifests = [known for known, _ in found]
    records = [(part, record) for part, (_, folder) in enumerate(found) for record in read_records(folder)]
    first = manifests[0]
    for other in manifests[1:]:
        if (other.classes, other.format, other.layout, other.shape[1:]) != (
            first.classes,
            first.format,
            first.layout,
            first.shape[1:],
        ):
            raise RefusedError(
                f"{job.data.data}: shards {first.shard} and {other.shard} saw different data; it was "
                "changed meanwhile, run again"
            )
    records.sort(key=lambda pair: pair[1].key)
    return _Parts(
        [folder for _, folder in found],
        manifests,
        records,
        (max(known.shape[0] for known in manifests), *first.shape[1:]),
        sorted((fault for known in manifests for fault in known.dropped), key=lambda fault: fault.file),
    )


def _few_dropped(place: str, parts: _Parts, most: float) -> None:
    dropped, total = parts.dropped, len(parts.dropped) + len(parts.records)
    if len(dropped) > most * total or len(dropped) == total:
        first = "; ".join(f"{fault.file} ({fault.why})" for fault in dropped[:5])
        raise RefusedError(
            f"{place}: {len(dropped):,} of {total:,} files cannot be used, more than max_dropped "
            f"{most:g} allows: {first}{'; ...' if len(dropped) > 5 else ''}; mend or remove them, or "
            "raise max_dropped"
        )
    for fault in dropped[:20]:
        events.log(f"dropped {fault.file!r}: {fault.why}")


def _none_gone(place: str, classes: Sequence[str], left: set[str]) -> None:
    if gone := [label for label in classes if label not in left]:
        raise RefusedError(
            f"{place}: no image of class {', '.join(map(repr, gone))} is left: all were unreadable, or "
            "stand in the target's test split"
        )
    if not left:
        raise RefusedError(f"{place}: no image is left: all were unreadable, or stand in the target's test split")


def _manifest(
    job: PreprocessJob,
    parts: _Parts,
    samples: Sequence[StoredSample],
    trained: Sequence[Record],
    assigned: Assigned,
    target: Target | None,
    leaks: int,
) -> DatasetManifest:
    first = parts.manifests[0]
    shape, layout = parts.shape, first.layout
    task = job.task if first.classes else UNLABELED
    label_type = LABEL_TYPES[task]
    counts = {} if label_type.is_numeric else _counts(samples, task, first.classes)
    mean, std = _statistics(trained, shape)
    target_mean, target_std = _target(job, [record.label for record in trained], first.classes)
    sides = np.array([record.side for _, record in parts.records])
    small = int((sides < min(shape[1:])).sum())
    notes = [
        *first.notes,
        f"stored at {shape[1]}x{shape[2]}: what has another size is scaled to cover it and cut to its centre",
        *([f"{small:,} images are smaller than that and were enlarged"] if small else []),
        *(
            ["stored as JPEG of quality 95, because raw pixels would take more than packed_above"]
            if layout == "jpeg"
            else []
        ),
        *assigned.notes,
    ]
    warnings = [
        *first.warnings,
        *_ungrouped(job, parts),
        *assigned.warnings,
        *(
            number_checks.warnings(samples, first.classes, target_mean, target_std)
            if label_type.is_numeric
            else class_checks.warnings(counts, first.classes, task)
        ),
    ]
    return DatasetManifest(
        label=job.label,
        task=task,
        format=first.format,
        classes=first.classes,
        target_mean=target_mean,
        target_std=target_std,
        sizes={name: sum(sample.split == name for sample in samples) for name in SPLIT_NAMES},
        counts=counts,
        layout=layout,
        image_shape=shape,
        target_channels=target.shape[0] if target else None,
        mean=mean,
        std=std,
        dropped=parts.dropped,
        leaked=leaks,
        notes=notes,
        warnings=warnings,
        original_sides=[int(side) for side in np.quantile(sides, (0, 0.25, 0.5, 0.75, 1), method="nearest")],
        seed=job.seed,
        ledger=assigned.ledger.digest,
        fingerprint=job.fingerprint,
        digest=dataset.content_digest(samples, task),
    )


def _named(labels: set[str], task: str) -> set[str]:
    """The classes that some labels name."""
    label_type = LABEL_TYPES[task]
    return labels if label_type.is_numeric else {name for text in labels for name in label_type.names_in(text)}


def _counts(samples: Sequence[StoredSample], task: str, classes: Sequence[str]) -> dict[str, dict[SplitName, int]]:
    """Images of each class, or with each label, in each split."""
    found: Counter[tuple[str, SplitName]] = Counter()
    for (label, split), number in Counter((sample.label, sample.split) for sample in samples).items():
        for name in LABEL_TYPES[task].names_in(label):
            found[name, split] += number
    return {label: {name: found[label, name] for name in SPLIT_NAMES} for label in classes}


def _target(job: PreprocessJob, trained: Sequence[str], outputs: Sequence[str]) -> tuple[list[float], list[float]]:
    """Mean and deviation of a regression's outputs over the training split; nothing for other tasks."""
    if not LABEL_TYPES[job.task].is_numeric or not outputs:
        return [], []
    values = LABEL_TYPES[job.task].to_array(trained, outputs).astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    if still := [name for name, own, at in zip(outputs, std, mean, strict=True) if own <= 1e-7 * abs(at)]:
        raise RefusedError(
            f"{job.data.data}: {', '.join(map(repr, still))} is the same in all {len(trained):,} "
            "training images, so there is nothing to learn; leave it out of columns.labels"
        )
    return mean.tolist(), std.tolist()


def _ungrouped(job: PreprocessJob, parts: _Parts) -> list[str]:
    """What the group pattern did not match."""
    pattern, alone = job.data.group_pattern, [record.key for _, record in parts.records if not record.group]
    if pattern is None or not alone:
        return []
    if len(alone) == len(parts.records):
        raise RefusedError(
            f"{job.data.data}: group_pattern {pattern!r} matches no file's name nor path, such as {alone[0]!r}; mend it"
        )
    return [f"group_pattern matches all but {len(alone):,} of {len(parts.records):,} images, such as {alone[0]!r}"]


def _statistics(records: Sequence[Record], shape: tuple[int, int, int]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel, in 0..1, exact up to the last division."""
    channels = shape[0]
    totals = [0] * (2 * channels)
    for record in records:
        own = len(record.sums) // 2
        for channel in range(channels):  # a grey image among coloured ones counts in each channel
            totals[channel] += record.sums[channel % own]
            totals[channels + channel] += record.sums[own + channel % own]
    count = len(records) * shape[1] * shape[2]
    mean = [total / count for total in totals[:channels]]
    variance = [(totals[channels + channel] * count - totals[channel] ** 2) / count**2 for channel in range(channels)]
    return [value / 255 for value in mean], [value**0.5 / 255 for value in variance]


def _images(parts: _Parts, order: Sequence[tuple[int, Record]]) -> Iterator[bytes]:
    """Each image as it is stored, in order."""
    with ExitStack() as stack:
        files = [stack.enter_context((folder / PIXELS).open("rb")) for folder in parts.folders]
        for position, (part, record) in enumerate(order, start=1):
            packed = os.pread(files[part].fileno(), record.size, record.start)
            if parts.manifests[part].layout == "raw" and parts.manifests[part].shape[0] < parts.shape[0]:
                packed *= parts.shape[0]
            yield packed
            if position % 256 == 0:
                events.progress(position, len(order), "writing")


def _tell(whole: DatasetManifest) -> None:
    sizes = ", ".join(f"{count:,} {name}" for name, count in whole.sizes.items())
    events.log(f"{sizes}; {len(whole.dropped):,} dropped, {whole.leaked:,} leaked")
    for note in whole.notes:
        events.log(note)
    for warning in whole.warnings:
        events.log(f"warning: {warning}")
