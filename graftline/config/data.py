"""Settings for raw data: their location, how to read them, and how much of them to use."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from graftline.config.base import Count, Fraction, Settings


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"{value!r} is not a valid regular expression: {error}") from None
    if groups < 1:
        raise ValueError(f"{value!r} has no (group); put the part that names the group in parentheses")
    return value


class Columns(Settings):
    """Columns of a table or fields of a record; None looks for the usual names."""

    path: str | None = None
    """Image file, relative to the table, or its gs:// URI; default `path`, `file`, `file_name`, `image`, ..."""
    label: str | None = None
    """Class; default `label`, `class`, `category`, `target`, ...; required if several columns match. For regression a
    number; for multilabel names separated by `|` or `;`, or a JSON list of names."""
    labels: Annotated[list[str], Field(min_length=1)] | None = None
    """Several columns instead of one: for regression one output each, for multilabel one label (0 or 1) each."""
    split: str | None = None
    """train, val, or test; default `split`, `set`, `subset`, `partition`. Without such a column, splits are drawn."""
    group: str | None = None
    """Group that must stay in one split (patient, camera, video); default `group`, `group_id`."""

    @model_validator(mode="after")
    def _one_way(self) -> "Columns":
        if self.label is not None and self.labels is not None:
            raise ValueError("label and labels are both set; set only one of them")
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: {self.labels} contains a duplicate")
        return self


TaskName = Literal["classification", "regression", "multilabel"]
DEFAULT_TASK: TaskName = "classification"


class Data(Settings):
    """Raw labeled data and how much of them to use."""

    data: str | None = None
    """Folder, archive, table, or file, local or gs://; `builtin:digits/clean` and `builtin:digits/scanned` need no
    download."""
    format: str = "auto"
    """Format: `auto` detects it from the files; otherwise a name from `graftline formats`."""
    columns: Columns = Columns()
    """Columns of a table or fields of records."""
    group_pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    """Regular expression whose first group names a group that must stay in one split, such as `^(patient\\d+)_`; it is
    searched for in the file name, and in the path if the name does not match."""
    name: str | None = None
    """Name of this task in tables and logs; derived from `data` or `init` by default."""
    classes: list[str] | None = None
    """Use only these classes, in this order; by default all, sorted."""
    train_per_class: Count | None = None
    """Largest number of training images per class, drawn with `seed`; by default all."""
    val_per_class: Count | None = None
    """Largest number of validation images per class, drawn with `seed`; by default all."""
    test_per_class: Count | None = None
    """Largest number of test images per class, drawn with `seed`; by default all."""
    val_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Fraction of the images used for validation if the data have no validation split."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Fraction of the images used for testing if the data have no test split."""
    ledger: str | None = None
    """Split ledger of an earlier run (`ledger.json`, or the folder of a dataset artifact; local or gs://): known images
    keep their split, and new ones are added by the same rules."""
    near_duplicates: bool = True
    """Find near duplicates, and keep each cluster of them in one split."""
    min_side: Count = 8
    """Smallest shorter side of an image in pixels; smaller images are dropped and listed."""
    max_dropped: Fraction = 0.05
    """Largest fraction of unreadable files (they are counted, listed, and dropped); with more, the data are refused."""


class Target(Data):
    """The target task, which the model is trained for."""

    data: str
    """As for a source; required."""

    @property
    def label(self) -> str:
        """Short name for tables, logs, and file names: `name`, or derived from `data`."""
        return self.name or _stem(self.data)


SHARE = "share-of-target"
"""Label of a source that is a share of the target's training split."""


class Source(Data):
    """A source of initial weights: `init`, followed by pretraining on `data` if they are given."""

    init: str = "random"
    """`random`, `DEFAULT` (pretrained weights of torchvision), a state dict file, or a graftline checkpoint; local or
    gs://."""
    target_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Instead of `data`: pretrain on this share of the target's own training split, stratified by class and drawn with
    `seed`. Fine-tuning still uses the complete training split; validation and test images are not used."""
    backbone: str | None = None
    """Backbone, if different from the run's; `timm/NAME` requires the extra `timm`."""
    task: TaskName | None = None
    """Task of its labels; by default the run's task."""

    @property
    def label(self) -> str:
        """Short name for tables, logs, and file names: `name`, or derived from `data` or `init`."""
        return self.name or (SHARE if self.target_share else _stem(self.data or self.init))

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        if self.target_share is None:
            return self
        if self.data is not None:
            raise ValueError(
                f"data: {self.data} and target_share are both set; set one of them, and "
                "add the other as a separate source"
            )
        fields = {**Data.model_fields, "task": Source.model_fields["task"]}
        allowed = ("name", "val_fraction")
        if unused := [
            key for key, field in fields.items() if key not in allowed and getattr(self, key) != field.default
        ]:
            raise ValueError(
                f"target_share: the images are read with the target's settings, so {unused[0]!r} has no effect here; "
                "set it on the target"
            )
        return self


def _stem(uri: str) -> str:
    return PurePosixPath(uri.removeprefix("builtin:").rstrip("/")).name.split(".")[0] or "data"
