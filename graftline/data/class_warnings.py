"""Warnings about class names and class sizes: similar names, few images, imbalance, empty splits."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import SplitName
from graftline.data.labels import LABEL_TYPES

MIN_IMAGES = 10
"""Classes with fewer training images are reported."""
MAX_IMBALANCE = 10
"""Ratio of training images between the largest and the smallest class from which imbalance is reported."""
MAX_LISTED = 10
"""Largest number of names in one warning, and of warnings about similar names."""

_MAX_NAME = 60  # characters of a name in a warning
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0e\ufe0f\ufeff]")
_SPLIT_WORDS = {"val": "validation", "test": "test"}
_CONSEQUENCES = {
    "val": "model selection and early stopping ignore it",
    "test": "its test performance is unknown",
}


def find_problems(
    counts: Mapping[str, Mapping[SplitName, int]], classes: Sequence[str], task: str = DEFAULT_TASK
) -> list[str]:
    """Returns warnings about the classes.

    Args:
        counts: Number of images of each class in each split.
        classes: Class names as stored; empty if there are no labels.
        task: Task of the labels; imbalance is not reported for multilabel tasks, whose labels need not be balanced.

    Returns:
        Sentences without a capital letter or a period.
    """
    train_counts = {label: counts.get(label, {}).get("train", 0) for label in classes}
    return [
        *_similar_names(classes),
        *_small_classes(train_counts),
        *(_imbalance(train_counts) if LABEL_TYPES[task].is_class else []),
        *_missing_in_split(counts, classes),
    ]


def _similar_names(classes: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for label in classes:
        groups[_normalize(label)].append(label)
    similar = [group for group in groups.values() if len(group) > 1]
    problems = [
        f"{_join(_quote_distinctly(group))} look like the same class: rename one, or list one of them under `classes:`"
        for group in similar[:MAX_LISTED]
    ]
    if len(similar) > MAX_LISTED:
        problems.append(f"{len(similar) - MAX_LISTED:,} more sets of names look like one class each")
    return problems


def _normalize(label: str) -> str:
    """Returns a name without case, Unicode variants, and word separators.

    The case of a single letter, a minus sign, and separators between two numbers distinguish classes, so they are kept.
    """
    text = _INVISIBLE.sub("", _DASHES.sub("-", unicodedata.normalize("NFKC", label))).strip(" \t\r\n_")
    if len(text) > 1:
        text = unicodedata.normalize("NFKC", text.casefold())
    text = re.sub(r"(?<=\d)[\s_-]+(?=\d)", "~", text)
    return re.sub(r"[\s_]+|(?<!^)-+|-+(?!\d)", "", text) or label


def _quote_distinctly(labels: Sequence[str]) -> list[str]:
    """Returns the names quoted, with escapes if they would look the same."""
    looks_same = len({unicodedata.normalize("NFC", label) for label in labels}) < len(labels)
    return [_quote(label, escaped=looks_same) for label in labels]


def _small_classes(train_counts: Mapping[str, int]) -> list[str]:
    small = sorted((number, label) for label, number in train_counts.items() if number < MIN_IMAGES)
    if not small:
        return []
    names = _join([f"{_quote(label)} ({number})" for number, label in small])
    return [f"fewer than {MIN_IMAGES} training images: {names}; add some, or list the other classes under `classes:`"]


def _imbalance(train_counts: Mapping[str, int]) -> list[str]:
    if not train_counts:
        return []
    largest, smallest = max(train_counts, key=train_counts.__getitem__), min(train_counts, key=train_counts.__getitem__)
    most, least = train_counts[largest], train_counts[smallest]
    if not least or most < MAX_IMBALANCE * least:
        return []
    return [
        f"the classes are imbalanced: {_quote(largest)} has {most:,} training images, {most / least:,.0f} times as "
        f"many as {_quote(smallest)} with {least:,}; prefer balanced accuracy to accuracy, and add images of the small "
        "classes or limit the large ones with `train_per_class:`"
    ]


def _missing_in_split(counts: Mapping[str, Mapping[SplitName, int]], classes: Sequence[str]) -> list[str]:
    problems = []
    splits: tuple[SplitName, ...] = ("val", "test")
    for split in splits:
        missing = [label for label in classes if not counts.get(label, {}).get(split, 0)]
        if missing and len(missing) < len(classes):
            problems.append(
                f"no {_SPLIT_WORDS[split]} image of {_join([_quote(label) for label in missing])}: "
                f"{_CONSEQUENCES[split]}; add images"
            )
    return problems


def _quote(label: str, *, escaped: bool = False) -> str:
    text = label if len(label) <= _MAX_NAME else label[:_MAX_NAME] + "\N{HORIZONTAL ELLIPSIS}"
    return ascii(text) if escaped else repr(text)


def _join(items: Sequence[str]) -> str:
    *most, last = items if len(items) <= MAX_LISTED else [*items[:MAX_LISTED], f"{len(items) - MAX_LISTED:,} more"]
    return f"{', '.join(most)} and {last}" if most else last
