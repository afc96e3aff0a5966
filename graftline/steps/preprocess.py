"""Raw data to a dataset artifact: found, decoded once, split, written; memory stays flat whatever the size."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from graftline import dataset, events, formats, ledger, manifest, storage
from graftline.dataset import SPLIT_NAMES, DatasetManifest, Dropped, StoredSample
from graftline.errors import RefusedError
from graftline.formats.checks import check, keep
from graftline.formats.digits import BUILTIN
from graftline.formats.raw import Sample
from graftline.ingest import Decoded, Rows, decode_all, sample_shape
from graftline.jobs import PreprocessJob
from graftline.ledger import Ledger
from graftline.splits import Assigned, Item, assign

_PIECE = 16 * 2**20  # bytes looked at a time


@dataclass(frozen=True)
class _Target:
    """What a source must know of the target's dataset."""

    shape: tuple[int, int, int]
    test: frozenset[str]
    """Digests of its test split."""


@dataclass(frozen=True)
class _Found:
    """Raw data, decoded."""

    format: str
    classes: list[str]
    samples: list[Sample]
    decoded: Decoded
    dropped: list[Dropped]
    notes: list[str]


def preprocess(job: PreprocessJob, *, out: Path, target: Path | None = None,
               previous: Path | None = None) -> DatasetManifest:
    """Makes a dataset artifact.

    Args:
        job: The data and how much of it to take; without a place, an empty dataset of the target's shape is written.
        out: Folder for the artifact; what an earlier try left there is replaced.
        target: The target's dataset artifact where a source is preprocessed: images are stored at its height and
            width, those found in its test split are left out, and no test split is drawn.
        previous: A dataset artifact of an earlier run, whose split ledger goes on.

    Returns:
        The manifest.

    Raises:
        RefusedError: The data cannot become a classification task; the message says why.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / manifest.NAME).unlink(missing_ok=True)
    known = _target(target) if target else None
    place = job.data.data
    if place is None:
        return _empty(job, out, known)
    earlier = ledger.read(previous) if previous else None
    found = _found(job, place, out, known)
    decoded = [row for row, digest in enumerate(found.decoded.digests) if digest]
    rows = [row for row in decoded if known is None or not _leaks(found.decoded, row, known)]
    items = [Item(sample.key, sample.label, sample.split, found.decoded.digests[row])
             for row in rows for sample in [found.samples[row]]]
    _none_gone(place, found, items)
    assigned = assign(items, job.data, place=place, seed=job.seed, shape=found.decoded.images.shape,
                      needs_test=known is None, previous=earlier)
    return _written(out, job, found, rows, items, assigned, known, leaked=len(decoded) - len(rows))


def _target(folder: Path) -> _Target:
    found = manifest.read(folder, DatasetManifest)
    return _Target(found.image_shape,
                   frozenset(sample.sha256 for sample in dataset.read_samples(folder) if sample.split == "test"))


def _found(job: PreprocessJob, place: str, out: Path, target: _Target | None) -> _Found:
    with ExitStack() as stack:
        path = Path(place) if place.startswith(BUILTIN) else storage.local(place, stack.enter_context(_scratch(out)))
        known = formats.choose(job.data.format, path)
        opened = stack.enter_context(known.read(path))
        raw = keep(opened, place, job.data.classes)
        check(raw, place)
        shape = sample_shape(raw.samples, job.image_size, target.shape[1:] if target else None)
        events.log(f"{place}: {known.name}, {len(raw.classes)} classes, {len(raw.samples):,} images, stored as "
                   f"{shape[0]}x{shape[1]}x{shape[2]}")
        decoded = decode_all(raw.samples, _room(out, len(raw.samples), shape))
    dropped = sorted([*raw.faults, *decoded.dropped], key=lambda fault: fault.file)
    _few_dropped(place, dropped, len(raw.samples) + len(raw.faults), job.data.max_dropped)
    resized = f"stored at {shape[1]}x{shape[2]}: what has another size is scaled to cover it and cut to its centre"
    return _Found(known.name, raw.classes, raw.samples, decoded, dropped, [*raw.notes, resized])


def _few_dropped(place: str, dropped: Sequence[Dropped], total: int, most: float) -> None:
    for fault in dropped[:20]:
        events.log(f"dropped {fault.file}: {fault.why}")
    if len(dropped) > most * total or len(dropped) == total:
        first = "; ".join(f"{fault.file} ({fault.why})" for fault in dropped[:5])
        raise RefusedError(f"{place}: {len(dropped):,} of {total:,} files cannot be read, more than max_dropped "
                           f"{most:g} allows: {first}{'; ...' if len(dropped) > 5 else ''}; mend or remove them, or "
                           "raise max_dropped")


def _none_gone(place: str, found: _Found, items: Sequence[Item]) -> None:
    labels = {item.label for item in items}
    if gone := [label for label in found.classes if label not in labels]:
        raise RefusedError(f"{place}: no image of class {', '.join(map(repr, gone))} is left: all were unreadable, or "
                           "stand in the target's test split")


def _leaks(decoded: Decoded, row: int, target: _Target) -> bool:
    """Whether a source's image stands in the target's test split, grey compared with colour by its grey."""
    channels = target.shape[0]
    if decoded.images.shape[0] == channels:
        return decoded.digests[row] in target.test
    image = decoded.images.take(np.array([row]))[0]
    if channels == 3:
        return dataset.sample_digest(np.repeat(image, 3, axis=0)) in target.test
    return bool((image == image[:1]).all()) and dataset.sample_digest(image[:1]) in target.test


def _written(out: Path, job: PreprocessJob, found: _Found, rows: Sequence[int], items: Sequence[Item],
             assigned: Assigned, target: _Target | None, leaked: int) -> DatasetManifest:
    stored = [(StoredSample(item.key, item.label, split, item.digest), row)
              for item, row, split in zip(items, rows, assigned.splits, strict=True) if split]
    stored.sort(key=lambda pair: (SPLIT_NAMES.index(pair[0].split), pair[0].sha256, pair[0].label, pair[0].key))
    samples, order = [sample for sample, _ in stored], [row for _, row in stored]
    sizes = {name: sum(sample.split == name for sample in samples) for name in SPLIT_NAMES}
    mean, std = _statistics(found.decoded.images, order[:sizes["train"]])
    whole = DatasetManifest(
        label=job.label, format=found.format, classes=found.classes, sizes=sizes,
        image_shape=found.decoded.images.shape, target_channels=target.shape[0] if target else None, mean=mean,
        std=std, dropped=found.dropped, leaked=leaked, notes=found.notes + assigned.notes, seed=job.seed,
        ledger=assigned.ledger.digest, fingerprint=job.fingerprint, digest=dataset.content_digest(samples))
    events.log(f"{sizes['train']:,} train, {sizes['val']:,} val, {sizes['test']:,} test; {len(found.dropped):,} "
               f"dropped, {leaked:,} leaked")
    for note in whole.notes:
        events.log(note)
    return dataset.write(out, whole, found.decoded.images.take, order, samples, assigned.ledger.to_json())


def _statistics(images: Rows, rows: Sequence[int]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel, in 0..1, from exact counts of the 256 values."""
    counts = np.zeros((images.shape[0], 256), np.int64)
    step = max(1, _PIECE // int(np.prod(images.shape)))
    for start in range(0, len(rows), step):
        piece = images.take(np.asarray(rows[start:start + step]))
        for channel, count in enumerate(counts):
            count += np.bincount(piece[:, channel].reshape(-1), minlength=256)
    values = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = (counts @ values) / total
    variance = (counts * (values[None] - mean[:, None]) ** 2).sum(axis=1) / total
    return mean.tolist(), np.sqrt(variance).tolist()


def _empty(job: PreprocessJob, out: Path, target: _Target | None) -> DatasetManifest:
    if target is None:
        raise RefusedError(f"{job.label}: no data is given, and no target whose shape an empty dataset could take")
    nothing = Ledger(seed=job.seed, image_shape=target.shape, entries={})
    whole = DatasetManifest(
        label=job.label, format="none", classes=[], sizes=dict.fromkeys(SPLIT_NAMES, 0), image_shape=target.shape,
        mean=[0.0] * target.shape[0], std=[1.0] * target.shape[0], dropped=[], seed=job.seed, ledger=nothing.digest,
        fingerprint=job.fingerprint, digest=dataset.content_digest([]),
        notes=["no data of its own: its weights come as they are, and what they were trained on is not known here"])
    return dataset.write(out, whole, np.empty((0, *target.shape), np.uint8).__getitem__, [], [], nothing.to_json())


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder for downloads on the artifact's disk, gone before the manifest is written."""
    folder = out / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _room(out: Path, count: int, shape: tuple[int, int, int]) -> Rows:
    """Unnamed disk for decoded images, and as much again for the artifact; refused now rather than half-way."""
    size = 2 * count * int(np.prod(shape))
    free = shutil.disk_usage(out).free
    if size > free:
        raise RefusedError(f"{out}: preprocessing takes {size:,} bytes of disk, {free:,} are free; make room, set a "
                           "smaller image_size, or give a folder on a larger disk")
    return Rows(TemporaryFile(dir=out), shape)
