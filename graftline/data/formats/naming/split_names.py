"""Names of splits, and the split that the path of a shard or a table gives.

Shards and tables follow different conventions. WebDataset and COCO data are often nested below split folders, so the
nearest split folder takes precedence and the last split name in a file name counts. Tables are named by people, so the
file name takes precedence and an ambiguous one gives no split.
"""

import re

from graftline.data.dataset import SplitName

SPLITS: dict[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Split by the lowercase name of a folder."""
TABLE_SPLITS: dict[str, SplitName] = {**SPLITS, "training": "train", "dev": "val", "testing": "test"}
"""Split by the lowercase value of a split column, or by a word in a table's file name."""
SPLIT_WORD = re.compile(r"(?<![a-z])(train|validation|valid|val|test)(?![a-z])")
"""A split name in lowercase text that is not part of a longer word: `imagenet-train-0007`, `instances_val2017`."""
_TABLE_WORD = re.compile("(?<![a-z])(" + "|".join(sorted(TABLE_SPLITS, key=len, reverse=True)) + ")(?![a-z])")


def split_of_path(name: str) -> SplitName | None:
    """Returns the split of a shard or an annotations file by its relative path, or None.

    The nearest folder with the exact name of a split counts, else the last split name in the file name.
    """
    *folders, file = name.lower().split("/")
    names = [folder for folder in folders if folder in SPLITS] or SPLIT_WORD.findall(file)
    return SPLITS[names[-1]] if names else None


def split_of_table(name: str) -> SplitName | None:
    """Returns the split of a table by its relative path, or None.

    The file name counts if it contains the names of exactly one split, else its folder:
    `train-00000-of-00002.parquet`, `test/metadata.csv`.
    """
    folder, _, file = name.lower().rpartition("/")
    for part in (file, folder):
        splits = {TABLE_SPLITS[word] for word in _TABLE_WORD.findall(part)}
        if len(splits) == 1:
            return splits.pop()
    return None
