"""What does not go together with a task; each refusal is one sentence."""

from collections.abc import Sequence

from graftline.config.data import Data, Source, TaskName
from graftline.config.training import Training

LOSSES: dict[TaskName, tuple[str, ...]] = {
    "classification": ("cross_entropy", "mse"),
    "multilabel": ("cross_entropy",),
    "regression": ("cross_entropy", "mse", "huber"),
}
"""Each task's, its own loss (`cross_entropy`) first."""


def check_tasks(task: TaskName, target: Data, sources: Sequence[Source], training: Training) -> None:
    """Refuses knobs that a task has no meaning for.

    Args:
        task: Of the target, and of sources that say nothing else.
        target: Its data.
        sources: Their data.
        training: On the target.

    Raises:
        ValueError: The first of them.
    """
    _check_data(task, target, "target")
    for source in sources:
        if source.data is not None:
            _check_data(source.task or task, source, f"source {source.label}")
    if task == "classification":
        _check_loss(task, training)
        return
    _check_loss(task, training)
    if training.balance not in (None, "none"):
        raise ValueError(f"finetune.balance: {training.balance} goes by classes, which {task} has none of; set none")
    if task == "regression":
        for name in ("label_smoothing", "cutmix"):
            if getattr(training, name):
                raise ValueError(f"finetune.{name}: it mixes classes, which regression has none of; set 0")


def _check_data(task: TaskName, data: Data, where: str) -> None:
    if task == "classification":
        if data.columns.labels is not None:
            raise ValueError(
                f"{where}: columns.labels are for regression and multilabel; classification takes the one "
                "column of columns.label"
            )
        return
    for name in ("train_per_class", "val_per_class", "test_per_class"):
        if getattr(data, name) is not None:
            raise ValueError(f"{where}: {name} counts the images of a class, which {task} has none of; give fewer rows")
    if task == "regression" and data.classes is not None:
        raise ValueError(
            f"{where}: classes are set, which regression has none of; name its outputs' columns under columns.labels"
        )


def _check_loss(task: TaskName, training: Training) -> None:
    if training.loss not in LOSSES[task]:
        raise ValueError(f"finetune.loss: {training.loss} does not fit {task}, which takes {' or '.join(LOSSES[task])}")
