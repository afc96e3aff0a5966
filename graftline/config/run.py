"""The config of a run."""

from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from graftline.config.base import Fraction, NotNegative, Settings
from graftline.config.data import DEFAULT_TASK, Data, Source, Target, TaskName
from graftline.config.strategies import StrategyChoice, expand_choice
from graftline.config.tasks import check_tasks
from graftline.config.tournament import AUTO, Budget, expand_budget
from graftline.config.training import Control, Head, Small, Training


class Gate(Settings):
    """Thresholds of the release gate on the test split; None is not checked."""

    min_accuracy: Fraction | None = None
    """Minimum accuracy."""
    min_macro_f1: Fraction | None = None
    """Minimum macro F1."""
    min_class_recall: Fraction | None = None
    """Minimum recall of every class or, for multilabel tasks, of every label at the threshold 0.5."""
    max_rmse: NotNegative | None = None
    """Maximum RMSE of a regression in the unit of its output; for several outputs, of their mean of RMSE / standard
    deviation."""
    min_macro_ap: Fraction | None = None
    """Minimum macro average precision of a multilabel task."""
    max_ece: Fraction | None = None
    """Maximum debiased expected calibration error."""
    beat_baselines: bool = True
    """Hold a model that is not significantly better than predicting the majority class (the mean; each label's share),
    or significantly worse than the random forest."""
    require_positive_gain: bool = False
    """Hold a model whose transfer gain is not positive."""


class Config(Settings):
    """The config of a run."""

    source: list[Source] = [Source(init="DEFAULT")]
    """One source or a list of sources: each is fine-tuned by every strategy."""
    target: Target
    """The target task."""
    task: TaskName = DEFAULT_TASK
    """What is predicted for an image: one class, numbers (regression), or several labels (multilabel)."""
    backbone: str = "mobilenet_v2"
    """Any torchvision classifier by name, `timm/NAME` (extra `timm`), mlp, cnn or rnn."""
    small: Small = Small()
    """Shape of mlp, cnn and rnn."""
    head: Head = Head()
    """The new head."""
    strategies: Annotated[list[SerializeAsAny[StrategyChoice]], Field(min_length=1)] = [
        StrategyChoice(name=name) for name in ("feature", "staged", "full")
    ]
    """Names, or mappings of one key with options: `[feature, {partial: {freeze: 8}}]`; or `auto`: a tournament of the
    strategies that fit the sources. The control is always trained."""
    budget: Budget | None = None
    """Runs the strategies as a tournament of three rungs; the better third of each continues. Each strategy enters with
    its learning rates, a third of them and three times them. A plain number is the number of examples seen."""
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Side in pixels to which images are resized; by default their own size if all have the same one of at most 64,
    else 224."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of pods (locally, processes) that decode each task's data in parallel; the dataset is bitwise the same.
    More than one needs `image_size`."""
    packed_above: NotNegative = 16.0
    """Size of the raw pixels in gigabytes (images x height x width x 3) above which a dataset stores JPEG instead."""
    pretrain: Training = Training()
    """Training on the source's data."""
    finetune: Training = Training()
    """Training on the target's data."""
    control: Control = Control()
    """The control."""
    confirm_seeds: Annotated[int, Field(ge=1, le=20)] = 3
    """Number of seeds with which the chosen candidate and the control are trained, including the first."""
    delta: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Margin of the verdicts and the gate: smaller differences in accuracy are ignored (0.01 is one point)."""
    gate: Gate = Gate()
    """Thresholds of the release gate."""
    store: str | None = None
    """Folder or gs:// prefix of the release store; by default releases are only in the run's folder."""
    checkpoint_uri: str | None = None
    """Folder or gs:// prefix where running trainings save their state every minute, from which interrupted ones resume;
    by default in the local cache, and on a cluster nowhere; `none`: nowhere."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Random seed of splits, initial weights, batches and bootstraps."""

    @field_validator("source", mode="before")
    @classmethod
    def _list_of_sources(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    @field_validator("strategies", mode="before")
    @classmethod
    def _short_strategies(cls, value: Any) -> Any:
        return [expand_choice(item) for item in (value if isinstance(value, list) else [value])]

    @field_validator("budget", mode="before")
    @classmethod
    def _plain_budget(cls, value: Any) -> Any:
        return expand_budget(value)

    @model_validator(mode="after")
    def _distinct(self) -> "Config":
        labels = [source.label for source in self.source]
        if not labels:
            raise ValueError("source: an empty list; give at least one source, `init: random` if there is none")
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"source: {sorted(twice)} name more than one source; set `name:` on each")
        if "target" in labels:
            raise ValueError("source: the name 'target' is reserved for the steps of the target; set another `name:`")
        if self.shards > 1 and self.image_size is None:
            raise ValueError(
                f"shards: {self.shards} shards need image_size, because no shard has all images to derive it from"
            )
        return self

    @model_validator(mode="after")
    def _of_one_task(self) -> "Config":
        check_tasks(self.task, self.target, self.source, self.finetune)
        return self

    @property
    def races(self) -> bool:
        """Whether candidates train in the rungs of a tournament."""
        return self.budget is not None or any(choice.name == AUTO for choice in self.strategies)

    def task_of(self, data: Data) -> TaskName:
        """Returns the task of the target or of a source, which may have its own."""
        return (data.task if isinstance(data, Source) else None) or self.task
