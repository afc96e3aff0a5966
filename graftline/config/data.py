"""Knobs of raw data: where they lie, how to read them, how much of them to take."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from graftline.config.base import Count, Fraction, Settings


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from None
    if groups < 1:
        raise ValueError(f"{value!r} has no (group); put what must not be split into parentheses")
    return value


class Columns(Settings):
    """Which columns of a table, or fields of a record, say what; None looks for the usual names."""

    path: str | None = None
    """The image's file, relative to the table, or its gs:// URI; else `path`, `file`, `file_name`, `image`, ..."""
    label: str | None = None
    """The class; else `label`, `class`, `category`, `target`, ...; needed where several columns could be it. For
    regression a number; for multilabel names between `|` or `;`, or a JSON list of names."""
    labels: Annotated[list[str], Field(min_length=1)] | None = None
    """Several columns instead: for regression an output each, for multilabel a label of 0 and 1 each."""
    split: str | None = None
    """train, val or test; else `split`, `set`, `subset`, `partition`; without such a column splits are drawn."""
    group: str | None = None
    """What must not be split over train and test (patient, camera, video); else `group`, `group_id`."""

    @model_validator(mode="after")
    def _one_way(self) -> "Columns":
        if self.label is not None and self.labels is not None:
            raise ValueError("label and labels are both set; give the one column, or the list of them")
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: {self.labels} names one twice")
        return self


TaskName = Literal["classification", "regression", "multilabel"]
DEFAULT_TASK: TaskName = "classification"


class Data(Settings):
    """Raw labelled data and how much of it to take."""

    data: str | None = None
    """Folder, archive, table or file, local or gs://; `builtin:digits/clean` and `builtin:digits/scanned` need no
    download."""
    format: str = "auto"
    """How to read it: `auto` looks at what is there; else a name from `graftline formats`."""
    columns: Columns = Columns()
    """Of a table or of records."""
    group_pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    """Regular expression whose first group says what must not be split, like `^(patient\\d+)_`; searched in the file's
    name, and where that does not match in its path."""
    name: str | None = None
    """What to call this task in tables and logs; by default made from `data` or `init`."""
    classes: list[str] | None = None
    """Keep only these classes, in this order; by default all, sorted."""
    train_per_class: Count | None = None
    """Training images a class at most, drawn by `seed`; by default all."""
    val_per_class: Count | None = None
    """Validation images a class at most, drawn by `seed`; by default all."""
    test_per_class: Count | None = None
    """Test images a class at most, drawn by `seed`; by default all."""
    val_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the images that becomes validation where the data gives no validation split."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the images that becomes test where the data gives no test split."""
    ledger: str | None = None
    """Split ledger of an earlier run (`ledger.json`, or the dataset artifact's folder; local or gs://): what it knows
    keeps its split, new files join by its rules."""
    near_duplicates: bool = True
    """Look for images that are nearly equal, and keep each set of them in one split."""
    min_side: Count = 8
    """Pixels of the shorter side that an image must have; smaller ones are dropped and listed."""
    max_dropped: Fraction = 0.05
    """Share of files that may be unreadable (they are counted, listed and dropped) before the data is refused."""


class Target(Data):
    """The task that the model is for."""

    data: str
    """As for a source."""

    @property
    def label(self) -> str:
        """Short name for tables, logs and file names: `name`, else made from `data`."""
        return self.name or _stem(self.data)


SHARE = "share-of-target"
"""Label of a source that is a share of the target's training split."""


class Source(Data):
    """Where the first weights come from: `init`, then, if `data` is given, training on it."""

    init: str = "random"
    """`random`, `DEFAULT` (torchvision's own weights), a state dict file, or a graftline checkpoint; local or gs://."""
    target_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Instead of `data`: pretrain on this share of the target's own training split, stratified by class and drawn by
    `seed`. Fine-tuning still uses the whole training split; validation and test are not touched."""
    backbone: str | None = None
    """Another backbone than the run's; `timm/NAME` with the extra `timm`."""
    task: TaskName | None = None
    """What its labels are; by default the run's task."""

    @property
    def label(self) -> str:
        """Short name for tables, logs and file names: `name`, else made from `data` or `init`."""
        return self.name or (SHARE if self.target_share else _stem(self.data or self.init))

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        if self.target_share is None:
            return self
        if self.data is not None:
            raise ValueError(
                f"data: {self.data} and target_share are both set; give one of them, the other as a source of its own"
            )
        fields = {**Data.model_fields, "task": Source.model_fields["task"]}
        free = ("name", "val_fraction")
        if strange := [key for key, field in fields.items() if key not in free and getattr(self, key) != field.default]:
            raise ValueError(
                f"target_share: its images are the target's, as the target was read, so {strange[0]!r} "
                "means nothing here; set it on the target"
            )
        return self


def _stem(place: str) -> str:
    return PurePosixPath(place.removeprefix("builtin:").rstrip("/")).name.split(".")[0] or "data"
