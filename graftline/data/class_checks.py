"""What classes' names and sizes say of raw data: one class under two names, too few images, imbalance."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import SplitName
from graftline.data.labels import LABEL_TYPES

FEW = 10
"""A class with fewer training images is named."""
IMBALANCED = 10
"""Training images of the largest class over those of the smallest, from which on both are named."""
NAMED = 10
"""Names in one sentence at most, and sentences about names that look alike."""

_LONG = 60  # characters of a name in a sentence
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0e\ufe0f\ufeff]")
_WORDS = {"val": "validation", "test": "test"}
_UNKNOWN = {"val": "choosing and stopping do not see it", "test": "how well it is told apart stays unknown"}


def warnings(
    counts: Mapping[str, Mapping[SplitName, int]], classes: Sequence[str], task: str = DEFAULT_TASK
) -> list[str]:
    """Says what looks wrong with the classes, one sentence each.

    Args:
        counts: Images of each class in each split.
        classes: Names as stored; empty where there are no labels.
        task: For multilabel the counts are those of images with a label, which need not be alike.

    Returns:
        Sentences without a capital or a full stop; none where nothing looks wrong.
    """
    trained = {label: counts.get(label, {}).get("train", 0) for label in classes}
    return [
        *_alike(classes),
        *_few(trained),
        *(_imbalance(trained) if LABEL_TYPES[task].is_class else []),
        *_absent(counts, classes),
    ]


def _alike(classes: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for label in classes:
        groups[_folded(label)].append(label)
    found = [group for group in groups.values() if len(group) > 1]
    more = [f"{len(found) - NAMED:,} more sets of names look like one class each"] if len(found) > NAMED else []
    return [
        f"{_listed(_distinct(group))} look like one class: rename one, or keep one under `classes:`"
        for group in found[:NAMED]
    ] + more


def _folded(label: str) -> str:
    """A name without case, Unicode form and what separates words.

    The case of a single letter, a minus and what separates two numbers tell classes apart, so they stay.
    """
    text = _HIDDEN.sub("", _DASHES.sub("-", unicodedata.normalize("NFKC", label))).strip(" \t\r\n_")
    if len(text) > 1:
        text = unicodedata.normalize("NFKC", text.casefold())
    text = re.sub(r"(?<=\d)[\s_-]+(?=\d)", "~", text)
    return re.sub(r"[\s_]+|(?<!^)-+|-+(?!\d)", "", text) or label


def _distinct(labels: Sequence[str]) -> list[str]:
    """The names quoted, with escapes where they would look the same."""
    same = len({unicodedata.normalize("NFC", label) for label in labels}) < len(labels)
    return [_quoted(label, escaped=same) for label in labels]


def _few(trained: Mapping[str, int]) -> list[str]:
    few = sorted((number, label) for label, number in trained.items() if number < FEW)
    if not few:
        return []
    named = _listed([f"{_quoted(label)} ({number})" for number, label in few])
    return [f"fewer than {FEW} training images: {named}; add some, or name the other classes under `classes:`"]


def _imbalance(trained: Mapping[str, int]) -> list[str]:
    if not trained:
        return []
    largest, smallest = max(trained, key=trained.__getitem__), min(trained, key=trained.__getitem__)
    most, least = trained[largest], trained[smallest]
    if not least or most < IMBALANCED * least:
        return []
    return [
        f"the classes are not balanced: {_quoted(largest)} has {most:,} training images, {most / least:,.0f} times "
        f"as many as {_quoted(smallest)} with {least:,}; trust balanced accuracy rather than accuracy, and add "
        "images of the small classes or take fewer of the large ones by `train_per_class:`"
    ]


def _absent(counts: Mapping[str, Mapping[SplitName, int]], classes: Sequence[str]) -> list[str]:
    found = []
    splits: tuple[SplitName, ...] = ("val", "test")
    for split in splits:
        absent = [label for label in classes if not counts.get(label, {}).get(split, 0)]
        if absent and len(absent) < len(classes):
            found.append(
                f"no {_WORDS[split]} image of {_listed([_quoted(label) for label in absent])}: "
                f"{_UNKNOWN[split]}; add images"
            )
    return found


def _quoted(label: str, *, escaped: bool = False) -> str:
    text = label if len(label) <= _LONG else label[:_LONG] + "\N{HORIZONTAL ELLIPSIS}"
    return ascii(text) if escaped else repr(text)


def _listed(items: Sequence[str]) -> str:
    *most, last = items if len(items) <= NAMED else [*items[:NAMED], f"{len(items) - NAMED:,} more"]
    return f"{', '.join(most)} and {last}" if most else last
