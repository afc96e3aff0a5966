"""The whole of a run's config."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from graftline.config.base import Fraction, NotNegative, Settings
from graftline.config.data import Data, Source, Target, TaskName
from graftline.config.strategies import Feature, Full, Staged, long_strategy
from graftline.config.tasks import check_tasks
from graftline.config.tournament import Asked, Auto, Budget, long_budget, named
from graftline.config.training import Control, Head, Small, Training


class Gate(Settings):
    """Floors that the file that ships must hold on the test split; None is not judged."""

    min_accuracy: Fraction | None = None
    """Floor of accuracy."""
    min_macro_f1: Fraction | None = None
    """Floor of macro F1."""
    min_class_recall: Fraction | None = None
    """Floor of every class's recall; of a multilabel task every label's, at 0.5."""
    max_rmse: NotNegative | None = None
    """Ceiling of a regression's RMSE, in the output's own unit; of several outputs, of the mean of RMSE / deviation."""
    min_macro_ap: Fraction | None = None
    """Floor of a multilabel task's macro average precision."""
    max_ece: Fraction | None = None
    """Ceiling of the debiased expected calibration error."""
    beat_baselines: bool = True
    """Hold back a model not clearly better than the majority class (the mean; each label's share), or clearly worse
    than the forest."""
    require_positive_gain: bool = False
    """Hold back a model whose transfer gain is not positive."""


class Config(Settings):
    """A whole run."""

    source: list[Source] = [Source(init="DEFAULT")]
    """One source or a list of them: each is a candidate."""
    target: Target
    """The target task."""
    task: TaskName = "classification"
    """What is predicted of an image: one class, numbers (regression), or each label by itself (multilabel)."""
    backbone: str = "mobilenet_v2"
    """Any torchvision classifier by name, `timm/NAME` (extra `timm`), or mlp, cnn, rnn."""
    small: Small = Small()
    """Shape of mlp, cnn and rnn."""
    head: Head = Head()
    """The new head."""
    strategies: Annotated[list[Asked], Field(min_length=1)] = [Feature(), Staged(), Full()]
    """Names, or one-key mappings with options: `[feature, {partial: {freeze: 8}}]`, or `auto`: a tournament of what
    fits the sources; the control is always run."""
    budget: Budget | None = None
    """Makes a tournament of the strategies: each at a third of its learning rates, at them and at three times them, in
    three rungs, the better third going on; a plain number means presentations."""
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Side in pixels that images are resized to; by default their own up to 64 where all agree, else 224."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods (locally, processes) that decode each task's data side by side; the dataset is the same bit for bit. More
    than one needs `image_size`."""
    packed_above: NotNegative = 16.0
    """Gigabytes of raw pixels (images x height x width x 3) above which a dataset stores JPEG instead of raw pixels."""
    pretrain: Training = Training()
    """Training on the source's data."""
    finetune: Training = Training()
    """Training on the target's data."""
    control: Control = Control()
    """The control."""
    confirm_seeds: Annotated[int, Field(ge=1, le=20)] = 3
    """Seeds that the chosen candidate and the control are trained with, the first one included."""
    delta: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Gain in accuracy that counts: verdicts and the gate leave this much room (0.01 is one point)."""
    gate: Gate = Gate()
    """Floors for the release."""
    store: str | None = None
    """Folder or gs:// prefix where releases live; by default only the run's own folder."""
    checkpoint_uri: str | None = None
    """Folder or gs:// prefix where trainings under way leave their state every minute, so that a killed one goes on
    where it was; by default beside the local cache, on a cluster nowhere; `none`: nowhere."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Draws splits, weights, batches and bootstraps."""

    @field_validator("source", mode="before")
    @classmethod
    def _list_of_sources(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    @field_validator("strategies", mode="before")
    @classmethod
    def _short_strategies(cls, value: Any) -> Any:
        return [long_strategy(item) for item in (value if isinstance(value, list) else [value])]

    @field_validator("budget", mode="before")
    @classmethod
    def _plain_budget(cls, value: Any) -> Any:
        return long_budget(value)

    @model_validator(mode="after")
    def _distinct(self) -> "Config":
        labels = [source.label for source in self.source]
        if not labels:
            raise ValueError("source: an empty list; give at least one source, `init: random` if there is none")
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"source: {sorted(twice)} name more than one source; set `name:` on each")
        if "target" in labels:
            raise ValueError("source: 'target' is what the target's own steps are called; set another `name:` on it")
        if self.shards > 1 and self.image_size is None:
            raise ValueError(f"shards: {self.shards} need image_size: no shard sees all images, so none can choose it")
        return self

    @model_validator(mode="after")
    def _of_one_task(self) -> "Config":
        check_tasks(self.task, self.target, self.source, named(self.strategies), self.finetune)
        return self

    @property
    def races(self) -> bool:
        """Whether candidates go through the rungs of a tournament."""
        return self.budget is not None or any(isinstance(each, Auto) for each in self.strategies)

    def task_of(self, data: Data) -> TaskName:
        """Returns what the labels of the target or of a source are: a source may have a task of its own."""
        return (data.task if isinstance(data, Source) else None) or self.task
