"""What can be refused before a single pixel is decoded."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from graftline.errors import RefusedError
from graftline.formats.raw import Raw


def keep(raw: Raw, place: str, classes: Sequence[str] | None) -> Raw:
    """Keeps the classes that were asked for, in that order; all where none were.

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
    return replace(raw, classes=list(classes), samples=[sample for sample in raw.samples if sample.label in wanted])


def check(raw: Raw, place: str, *, labelled: bool) -> None:
    """Refuses what cannot become a classification task.

    Args:
        raw: The data.
        place: For messages.
        labelled: Whether there have to be labels.

    Raises:
        RefusedError: No image, no labels, fewer than two classes, an empty class, a class of one image, or splits whose
            classes differ.
    """
    if not raw.classes and raw.samples:
        if labelled:
            raise RefusedError(f"{place}: has no labels, and this pipeline learns from them; give labelled data, or "
                               "use these in the pipeline `adapt`")
        return
    if foreign := [label for label in raw.classes if any("\ud800" <= letter <= "\udfff" for letter in label)]:
        raise RefusedError(f"{place}: the class names {foreign} are not UTF-8; rename them")
    if len(raw.classes) < 2:
        raise RefusedError(f"{place}: found the classes {raw.classes}; classification needs at least two")
    count: dict[str, int] = dict.fromkeys(raw.classes, 0)
    of_split: dict[str, set[str]] = defaultdict(set)
    for sample in raw.samples:
        count[sample.label] += 1
        if sample.split:
            of_split[sample.split].add(sample.label)
    if empty := [label for label, number in count.items() if number == 0]:
        raise RefusedError(f"{place}: no image in class {', '.join(map(repr, empty))}; fill it, remove its folder, or "
                           "name the others under `classes:`")
    for split, labels in of_split.items():
        train = of_split.get("train", labels)
        if labels != train:
            raise RefusedError(f"{place}: the classes of train and {split} differ: train has {sorted(train)}, {split} "
                               f"has {sorted(labels)}; make them equal, or name those in both under `classes:`")
    if lone := [label for label, number in count.items() if number < 2]:
        raise RefusedError(f"{place}: one image only in class {', '.join(map(repr, lone))}; training and test need at "
                           "least two, add some or name the others under `classes:`")
