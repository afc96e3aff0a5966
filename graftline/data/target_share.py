"""A share of the target's own training split as a source's raw data: the articles pretrain on a part, then tune on all.

Of validation and test nothing is taken. What is drawn goes on as a part like any other, so that the source's dataset is
made of it by the same rules: leaks, validation split, statistics, page.
"""

from collections import defaultdict
from pathlib import Path

from graftline.config.jobs import PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest, StoredSample
from graftline.data.images import stored_images
from graftline.data.labels import LABEL_TYPES
from graftline.data.shards.decoding import sums
from graftline.data.shards.part import PIXELS, PartManifest, Record, write_records
from graftline.data.splits.ledger import rank
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text


def share_part(job: PreprocessJob, *, target: Path, out: Path) -> PartManifest:
    """Writes the part of a source that is a share of the target's training split.

    Args:
        job: With `target_share`.
        target: The target's dataset artifact.
        out: An empty folder for the part.

    Raises:
        RefusedError: The artifact is not whole, or has one picture in training and in another split.
    """
    share = job.target_share or 0.0
    opened = dataset.read(target)
    whole, samples = opened.manifest, dataset.read_samples(target)
    train = samples[: len(opened.train)]
    _apart(samples, str(target))
    rows = drawn(train, share, job.seed, by_class=LABEL_TYPES[whole.task].is_class and bool(whole.classes))
    with (out / PIXELS).open("wb") as file:
        records = []
        for done, row in enumerate(rows, start=1):
            packed, sample = stored_images.packed(opened.train.images, row), train[row]
            records.append(
                Record(
                    key=sample.key,
                    label=sample.label,
                    split=None,
                    group=sample.group,
                    sha256=sample.sha256,
                    phash=sample.phash,
                    side=min(whole.image_shape[1:]),
                    sums=sums(opened.train.images[row]),
                    start=file.tell(),
                    size=len(packed),
                )
            )
            file.write(packed)
            events.progress(done, len(rows), "copying")
    write_records(out, records)
    return manifest.write(out, _manifest(job, whole, len(rows), len(train)), hashed=False)


def drawn(samples: list[StoredSample], share: float, seed: int, *, by_class: bool) -> list[int]:
    """Draws a share of samples, the same ones whatever their order; a larger share holds the smaller one.

    Args:
        samples: To draw from.
        share: Above 0, at most 1.
        seed: Decides together with the samples' digests.
        by_class: Whether each class gives its share, at least one sample.

    Returns:
        Rows, ascending.
    """
    classes: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        classes[sample.label if by_class else ""].append(row)
    return sorted(
        row
        for rows in classes.values()
        for row in sorted(rows, key=lambda row: (rank(seed, samples[row].sha256), samples[row].key))[
            : max(1, round(share * len(rows)))
        ]
    )


def _apart(samples: list[StoredSample], place: str) -> None:
    held = {sample.sha256 for sample in samples if sample.split != "train"}
    if both := [sample.key for sample in samples if sample.split == "train" and sample.sha256 in held]:
        raise RefusedError(
            f"{place}: {both[0]!r} stands in training and, by its digest, in validation or test; "
            "preprocess the target again"
        )


def _manifest(job: PreprocessJob, whole: DatasetManifest, taken: int, of: int) -> PartManifest:
    return PartManifest(
        job=digest_text(job.to_json()),
        shard=0,
        shards=1,
        format=whole.format,
        classes=whole.classes,
        shape=whole.image_shape,
        layout=whole.layout,
        dropped=[],
        warnings=[],
        notes=[
            f"{taken:,} of the target's {of:,} training images (target_share {job.target_share:g}), none of its "
            "validation and test images; fine-tuning uses all training images, these among them"
        ],
    )
