"""The split that a file's place tells: a folder called train, val or test above it, else such a word in its name."""

import re

from graftline.data.dataset import SplitName
from graftline.data.formats.naming.tree import SPLITS

WORD = re.compile(r"(?<![a-z])(train|validation|valid|val|test)(?![a-z])")
"""A split's name, in lower case, with no letter beside it: `imagenet-train-0007`, `instances_val2017`."""


def split_of(name: str) -> SplitName | None:
    """Reads the split off a file's relative name; the nearest folder and the last word go before others."""
    *folders, own = name.lower().split("/")
    named = [folder for folder in folders if folder in SPLITS] or WORD.findall(own)
    return SPLITS[named[-1]] if named else None
