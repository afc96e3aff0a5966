"""What can be refused before a single pixel is decoded."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from graftline.config import TaskName
from graftline.data.formats.raw import RawDataset
from graftline.data.labels import names_of, text_of_names
from graftline.runtime.errors import RefusedError

_HOW = {
    "regression": "a table with a column of numbers",
    "multilabel": "a table with a column of names or several of 0 and 1, or COCO",
    "classification": "other data",
}


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
    if raw.task == "multilabel":
        kept = [
            replace(sample, label=text_of_names(wanted.intersection(names_of(sample.label)))) for sample in raw.samples
        ]
    else:
        kept = [sample for sample in raw.samples if sample.label in wanted]
    return replace(raw, classes=list(classes), samples=kept)


def check(raw: RawDataset, place: str, *, labelled: bool, task: TaskName = "classification") -> None:
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
            f"{_HOW[task]}, or set `task: classification`"
        )
    if foreign := [label for label in raw.classes if any("\ud800" <= letter <= "\udfff" for letter in label)]:
        raise RefusedError(f"{place}: the class names {foreign} are not UTF-8; rename them")
    _CHECKS[task](raw, place)


def _classes(raw: RawDataset, place: str) -> None:
    if len(raw.classes) < 2:
        raise RefusedError(f"{place}: found the classes {raw.classes}; classification needs at least two")
    count: dict[str, int] = dict.fromkeys(raw.classes, 0)
    of_split: dict[str, set[str]] = defaultdict(set)
    for sample in raw.samples:
        count[sample.label] += 1
        if sample.split:
            of_split[sample.split].add(sample.label)
    if empty := [label for label, number in count.items() if number == 0]:
        raise RefusedError(
            f"{place}: no image in class {', '.join(map(repr, empty))}; fill it, remove its folder, or "
            "name the others under `classes:`"
        )
    for split, labels in of_split.items():
        train = of_split.get("train", labels)
        if labels != train:
            raise RefusedError(
                f"{place}: the classes of train and {split} differ: train has {sorted(train)}, {split} "
                f"has {sorted(labels)}; make them equal, or name those in both under `classes:`"
            )
    if lone := [label for label, number in count.items() if number < 2]:
        raise RefusedError(
            f"{place}: one image only in class {', '.join(map(repr, lone))}; training and test need at "
            "least two, add some or name the others under `classes:`"
        )


def _labels(raw: RawDataset, place: str) -> None:
    if len(raw.classes) < 2:
        raise RefusedError(
            f"{place}: found the labels {raw.classes}; multilabel needs at least two, for one alone use "
            "`task: classification` with a class for either"
        )
    count: Counter[str] = Counter()
    for text, number in Counter(sample.label for sample in raw.samples).items():
        count.update(dict.fromkeys(names_of(text), number))
    if few := [label for label in raw.classes if count[label] < 2]:
        raise RefusedError(
            f"{place}: fewer than two images have the label {', '.join(map(repr, few[:10]))}"
            f"{', ...' if len(few) > 10 else ''}; training and test need at least two, add some or name "
            "the other labels under `classes:`"
        )


def _numbers(raw: RawDataset, place: str) -> None:
    if len({sample.label for sample in raw.samples}) < 2:
        raise RefusedError(
            f"{place}: all {len(raw.samples):,} images have the same label {raw.samples[0].label}, so "
            "there is nothing to learn; is it the right column?"
        )


_CHECKS = {"classification": _classes, "multilabel": _labels, "regression": _numbers}
