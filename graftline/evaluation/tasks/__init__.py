"""Problem kinds: one record per file, one table."""

from graftline.evaluation.tasks.classification import CLASSIFICATION
from graftline.evaluation.tasks.multilabel import MULTILABEL
from graftline.evaluation.tasks.regression import REGRESSION
from graftline.evaluation.tasks.task_kind import TaskKind

TASKS: dict[str, TaskKind] = {kind.name: kind for kind in (CLASSIFICATION, REGRESSION, MULTILABEL)}
