"""What can be refused before a single pixel is decoded."""

from collections.abc import Sequence
from dataclasses import replace

from graftline.config import DEFAULT_TASK
from graftline.data.formats.raw import RawDataset
from graftline.data.labels import LABEL_TYPES
from graftline.runtime.errors import RefusedError


def keep(raw: RawDataset, place: str, classes: Sequence[str] | None) -> RawDataset:
    """Keeps the classes that were asked for, in that order; all where none were.

    Of multilabel data all samples stay, with those of their labels that were asked for.

    Raises:
        RefusedError: A class that is not there, or is asked for twice.
    """
    if classes is None:
        return raw
    if not raw.classes:
        raise RefusedError(f"{place}: classes: {list(classes)} are asked for, and these data have no labels")
    if unknown := [name for name in classes if name not in raw.classes]:
        raise RefusedError(f"{place}: classes: {unknown} are not there; there are {raw.classes}")
    if len(set(classes)) < len(classes):
        raise RefusedError(f"{place}: classes: {list(classes)} names one twice")
    wanted = set(classes)
    restrict = LABEL_TYPES[raw.task].restrict
    kept = [
        replace(sample, label=label) for sample in raw.samples if (label := restrict(sample.label, wanted)) is not None
    ]
    return replace(raw, classes=list(classes), samples=kept)


def check(raw: RawDataset, place: str, *, labelled: bool, task: str = DEFAULT_TASK) -> None:
    """Refuses what cannot become the task.

    Args:
        raw: The data.
        place: For messages.
        labelled: Whether there have to be labels.
        task: What the labels have to be.

    Raises:
        RefusedError: No image, no labels, labels of another task, fewer than two classes, an empty class, a class of
            one image, splits whose classes differ, or numbers that are all equal.
    """
    if not raw.classes and raw.samples:
        if labelled:
            raise RefusedError(
                f"{place}: has no labels, and this pipeline learns from them; give labelled data, or "
                "use these in the pipeline `adapt`"
            )
        return
    if raw.task != task:
        raise RefusedError(
            f"{place}: these data hold classes, one an image, and the task is {task}; give "
            f"{LABEL_TYPES[task].expected_data}, or set `task: {DEFAULT_TASK}`"
        )
    if foreign := [label for label in raw.classes if any("\ud800" <= letter <= "\udfff" for letter in label)]:
        raise RefusedError(f"{place}: the class names {foreign} are not UTF-8; rename them")
    LABEL_TYPES[task].check_raw(raw, place)
