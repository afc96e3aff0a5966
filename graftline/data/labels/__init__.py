"""Types of labels, and which of them each task's labels are."""

from graftline.data.labels.class_index import ClassIndex, Unlabeled
from graftline.data.labels.label_type import LabelType
from graftline.data.labels.multi_hot import MultiHot
from graftline.data.labels.numeric import Numeric

UNLABELED = "unlabelled"
"""Task of a dataset without labels, as manifests store it."""
CLASS_INDEX, NUMERIC, MULTI_HOT = ClassIndex(), Numeric(), MultiHot()
LABEL_TYPES: dict[str, LabelType] = {
    "classification": CLASS_INDEX,
    "regression": NUMERIC,
    "multilabel": MULTI_HOT,
    UNLABELED: Unlabeled(),
}
"""Label type by a dataset's task."""


def known_task(task: str) -> str:
    """Returns the task; raises ValueError where no label type is listed for it."""
    if task not in LABEL_TYPES:
        raise ValueError(f"{task!r} is not a task of a dataset; expected one of {', '.join(LABEL_TYPES)}")
    return task
