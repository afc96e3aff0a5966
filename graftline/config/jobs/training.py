"""Defines the jobs of the steps that plan, train and select candidates."""

from pydantic import Field, SerializeAsAny

from graftline.config import Budget, Control, Head, Small, StrategyChoice, Training
from graftline.config.jobs.base import Job
from graftline.config.jobs.data import PreprocessJob


class PretrainJob(Job):
    """Job of `pretrain`, which trains a source checkpoint on a dataset artifact that may be empty."""

    label: str
    init: str
    backbone: str
    small: Small
    head: Head
    training: Training
    seed: int
    checkpoint_uri: str | None = None
    """Location of the saved training state."""
    fingerprint: str = ""
    """Fingerprint of `init` if it is a file or a folder, so that changed weights under the same name miss the cache."""
    inputs: str = ""
    """Digest of the dataset, set by the DAG because KFP's cache key includes only the names of artifacts."""


class SourceJob(Job):
    """Jobs of one source."""

    preprocess: PreprocessJob
    pretrain: PretrainJob
    target: str = ""
    """Digest of the target's job, included because KFP's cache key contains only the name of the target's dataset."""


class PlanJob(Job):
    """Job of `plan`, which lists the candidates for the source checkpoints and the target dataset."""

    strategies: list[SerializeAsAny[StrategyChoice]]
    budget: Budget | None = None
    """Budget of a tournament; None if each candidate is trained completely."""
    head: Head
    training: Training
    control: Control
    seed: int
    checkpoint_uri: str | None = None
    """Location of the saved training states of all candidates."""


class FinetuneJob(Job):
    """One training on the target with a source and a strategy, or of a control if `strategy` is None."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """Name in files and logs, such as `imagenet-staged`; confirmations end in `-seed1`, `-seed2` and so on."""
    source: str
    """Label of the source; a control uses its network and input contract, but not its weights."""
    strategy: SerializeAsAny[StrategyChoice] | None
    head: Head
    training: Training
    """Training settings, resolved by `plan`; only the learning rates of a control may be None."""
    recipe: list[str] = []
    """Settings that the recipe chose and the reasons, one sentence each."""
    control: Control
    longest: int
    """Training images seen by the longest candidate, which is the minimum for the control."""
    cross_validate: bool
    """Whether to score by repeated stratified 5-fold cross-validation over the training and validation splits."""
    seed: int
    until: int | None = None
    """Training images seen by the network after which the training pauses until the next rung of a tournament, not
    counting the training of a head on cached features; None to train to the end."""
    checkpoint_uri: str | None = None
    """Location of the saved training state."""
    skip: bool = False
    """Whether to skip the job; with one seed, the confirmation loop gets a single skipped job."""
    control_rate: float | None = None
    """Learning rate that the first control found and confirmations reuse."""
    student: SerializeAsAny[StrategyChoice] | None = None
    """For a control, strategy of the candidate whose student network the control trains."""
    opponent: str = ""
    """Name of the control that has the same network as this candidate; empty for a control."""
    inputs: str = ""
    """Digest of the dataset and the sources, and in later rungs also of the earlier checkpoint. Set by the DAG because
    KFP's cache key includes only the names of artifacts."""

    @property
    def is_control(self) -> bool:
        """Whether the network is trained from random weights."""
        return self.strategy is None

    @property
    def strategy_name(self) -> str:
        """Name of the strategy; `control` for a control."""
        return "control" if self.strategy is None else self.strategy.name


class RaceJob(Job):
    """Job of the later rungs of a tournament."""

    sizes: list[int] = []
    """Maximum number of candidates in each rung; empty if there is no tournament."""
    ends: list[int] = []
    """Passes over the training split that a candidate has completed at the end of each rung."""
    passes: int = 0
    """Total budget of all rungs, in passes over the training split."""
    spent: int = 0
    """Passes of `passes` that the first rung uses."""
    images: int = 0
    """Number of images in the training split."""
    minutes: float | None = None
    """Limit of the total training time in minutes; None for no limit."""
    cross_validate: bool = False
    """Whether finalists are scored by cross-validation."""
    controls: list[FinetuneJob] = []
    """Controls of all networks; only the controls of the finalists are trained."""
    inputs: str = ""
    """Digest of the dataset and the sources, as in `FinetuneJob`."""

    def stamped(self, inputs: str) -> "RaceJob":
        """Returns a copy of the job and its controls with `inputs` set."""
        controls = [control.model_copy(update={"inputs": inputs}) for control in self.controls]
        return self.model_copy(update={"inputs": inputs, "controls": controls})


class SelectJob(Job):
    """Job of `select`, which selects a trained candidate by validation only."""

    confirm_seeds: int
