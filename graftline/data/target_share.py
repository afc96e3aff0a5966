"""A share of the target's own training split as the raw data of a source: pretraining on a part, then training on all.

Validation and test images are not used. The drawn images are written as a decoded shard, so that the source's dataset
is made by the same rules as any other: leakage check, validation split, statistics, and data page.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from graftline.config.jobs import PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest, StoredSample
from graftline.data.images import stored_images
from graftline.data.labels import LABEL_TYPES
from graftline.data.shards.decode_shard import channel_sums
from graftline.data.shards.decoded_shard import PIXELS, SampleRecord, ShardManifest, write_records
from graftline.data.splits.ledger import sampling_key
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text


def write_target_share(job: PreprocessJob, *, target: Path, out: Path) -> ShardManifest:
    """Writes a share of the target's training split as a decoded shard.

    Args:
        job: A job with `target_share`.
        target: The target's dataset artifact.
        out: An empty folder for the shard.

    Raises:
        RefusedError: The artifact is incomplete, or an image occurs in training and in another split.
    """
    opened = dataset.read(target)
    samples = dataset.read_samples(target)
    train_samples = samples[: len(opened.train)]
    _check_disjoint(samples, str(target))
    by_class = LABEL_TYPES[opened.manifest.task].is_class and bool(opened.manifest.classes)
    indices = draw_share(train_samples, job.target_share or 0.0, job.seed, by_class=by_class)
    with (out / PIXELS).open("wb") as file:
        records = []
        for n_done, index in enumerate(indices, start=1):
            packed, sample = stored_images.packed_image(opened.train.images, index), train_samples[index]
            records.append(
                SampleRecord(
                    key=sample.key,
                    label=sample.label,
                    split=None,
                    group=sample.group,
                    sha256=sample.sha256,
                    phash=sample.phash,
                    side=min(opened.manifest.image_shape[1:]),
                    sums=channel_sums(opened.train.images[index]),
                    start=file.tell(),
                    size=len(packed),
                )
            )
            file.write(packed)
            events.progress(n_done, len(indices), "copying")
    write_records(out, records)
    made = _manifest(job, opened.manifest, n_drawn=len(indices), n_train=len(train_samples))
    return manifest.write(out, made, hashed=False)


def draw_share(samples: Sequence[StoredSample], share: float, seed: int, *, by_class: bool) -> list[int]:
    """Draws a share of samples, independent of their order; a larger share contains the smaller ones.

    Args:
        samples: Samples to draw from.
        share: Greater than 0, at most 1.
        seed: Seed that decides the draw, together with the samples' digests.
        by_class: Whether the share is drawn of each class, at least one sample.

    Returns:
        Indices, ascending.
    """
    classes: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        classes[sample.label if by_class else ""].append(index)
    drawn: list[int] = []
    for indices in classes.values():
        indices.sort(key=lambda index: (sampling_key(seed, samples[index].sha256), samples[index].key))
        drawn += indices[: max(1, round(share * len(indices)))]
    return sorted(drawn)


def _check_disjoint(samples: Sequence[StoredSample], location: str) -> None:
    other_splits = {sample.sha256 for sample in samples if sample.split != "train"}
    if shared := [sample.key for sample in samples if sample.split == "train" and sample.sha256 in other_splits]:
        raise RefusedError(
            f"{location}: {shared[0]!r} of the training split has the same digest as a validation or test image; "
            "preprocess the target again"
        )


def _manifest(job: PreprocessJob, target: DatasetManifest, *, n_drawn: int, n_train: int) -> ShardManifest:
    return ShardManifest(
        job=digest_text(job.to_json()),
        shard=0,
        shards=1,
        format=target.format,
        classes=target.classes,
        shape=target.image_shape,
        layout=target.layout,
        dropped=[],
        warnings=[],
        notes=[
            f"{n_drawn:,} of the target's {n_train:,} training images (target_share {job.target_share:g}) and none of "
            "its validation and test images; fine-tuning uses all training images, including these"
        ],
    )
