"""Checks of a raw dataset that need no decoded pixels."""

from collections.abc import Sequence
from dataclasses import replace

from graftline.config import DEFAULT_TASK
from graftline.data.formats import FORMATS
from graftline.data.formats.raw import RawDataset
from graftline.data.labels import LABEL_TYPES
from graftline.runtime.errors import RefusedError


def select_classes(raw: RawDataset, uri: str, classes: Sequence[str] | None) -> RawDataset:
    """Keeps only the requested classes, in the requested order.

    For multilabel data all samples stay, with only the requested ones of their labels.

    Args:
        raw: The dataset.
        uri: Its location, for messages.
        classes: Names of the classes, or None to keep all.

    Raises:
        RefusedError: A class does not exist or is requested twice.
    """
    if classes is None:
        return raw
    if not raw.classes:
        raise RefusedError(f"{uri}: classes: {list(classes)} were requested, but the data have no labels")
    if unknown := [name for name in classes if name not in raw.classes]:
        raise RefusedError(f"{uri}: classes: {unknown} do not exist; the data have {raw.classes}")
    if len(set(classes)) < len(classes):
        raise RefusedError(f"{uri}: classes: {list(classes)} contains a name twice; remove one")
    requested = set(classes)
    restrict = LABEL_TYPES[raw.task].restrict
    samples = [
        replace(sample, label=label)
        for sample in raw.samples
        if (label := restrict(sample.label, requested)) is not None
    ]
    return replace(raw, classes=list(classes), samples=samples)


def check_dataset(raw: RawDataset, uri: str, *, needs_labels: bool, task: str = DEFAULT_TASK) -> None:
    """Refuses a dataset that cannot be used for the task.

    Args:
        raw: The dataset.
        uri: Its location, for messages.
        needs_labels: Whether the pipeline learns from labels.
        task: Problem kind that the labels must have.

    Raises:
        RefusedError: The dataset has no images, no labels, labels of another problem kind, fewer than two classes, a
            class with fewer than two images, splits with different classes, or regression targets that are all equal.
    """
    if not raw.classes and raw.samples:
        if needs_labels:
            raise RefusedError(
                f"{uri}: the data have no labels, but this pipeline learns from labels; give labeled data, or use "
                "these in the pipeline `adapt`"
            )
        return
    if raw.task != task:
        formats = ", ".join(known.name for known in FORMATS.values() if task in known.tasks)
        raise RefusedError(
            f"{uri}: the labels are classes (one per image), but task is {task}; give the data in a format that "
            f"holds {task} labels ({formats}), or set `task: {DEFAULT_TASK}`"
        )
    if invalid := [name for name in raw.classes if any("\ud800" <= letter <= "\udfff" for letter in name)]:
        raise RefusedError(f"{uri}: the class names {invalid} are not valid UTF-8; rename them")
    LABEL_TYPES[task].check_raw(raw, uri)
