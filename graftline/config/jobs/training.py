"""What the steps that train and choose are told."""

from pydantic import Field, SerializeAsAny

from graftline.config import Budget, Control, Head, Small, StrategyChoice, Training
from graftline.config.jobs.base import Job
from graftline.config.jobs.data import PreprocessJob


class PretrainJob(Job):
    """A dataset artifact (perhaps empty) to a source checkpoint."""

    label: str
    init: str
    backbone: str
    small: Small
    head: Head
    training: Training
    seed: int
    checkpoint_uri: str | None = None
    """Where the state of the training under way is kept."""
    fingerprint: str = ""
    """Of `init` where that is a file or a folder, so that a cache sees other weights under the same name."""
    inputs: str = ""
    """Digest of the dataset, stamped on by the DAG: KFP's cache knows artifacts by their names only."""


class SourceJob(Job):
    """One turn of the loop over sources."""

    preprocess: PreprocessJob
    pretrain: PretrainJob
    target: str = ""
    """Digest of the target's job: KFP's cache knows the target's dataset by its name only."""


class PlanJob(Job):
    """Source checkpoints and the target's size to the list of candidates."""

    strategies: list[SerializeAsAny[StrategyChoice]]
    budget: Budget | None = None
    """Of a tournament; None where each candidate is trained whole."""
    head: Head
    training: Training
    control: Control
    seed: int
    checkpoint_uri: str | None = None
    """Of all candidates."""


class FinetuneJob(Job):
    """One training on the target: a source and a strategy, or the control (`strategy` None)."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """For files and logs, such as `imagenet-staged`; a confirmation ends in `-seed1` and so on."""
    source: str
    """Label of the source; the control takes its network and input contract, not its weights."""
    strategy: SerializeAsAny[StrategyChoice] | None
    head: Head
    training: Training
    """Resolved by plan: nothing that a recipe chooses is None, but for the control's rates."""
    recipe: list[str] = []
    """What was chosen, and why, a sentence each."""
    control: Control
    longest: int
    """Example presentations of the longest candidate: the control's least."""
    cross_validate: bool
    """Score by repeated stratified 5-fold over train + validation (under 20 validation images a class)."""
    seed: int
    until: int | None = None
    """Presentations through the network (a head on features apart) after which the training pauses, for the next rung
    of a tournament to go on with; None: it ends."""
    checkpoint_uri: str | None = None
    """Where the state of the training under way is kept."""
    skip: bool = False
    """Nothing to do: stands in where a loop needs an item (one seed asked for)."""
    control_rate: float | None = None
    """Rate found by the first control; confirmations use it again."""
    student: SerializeAsAny[StrategyChoice] | None = None
    """The control's, where its network is that of a candidate's student."""
    opponent: str = ""
    """Name of the control that has this candidate's network, as its source brought it; empty for a control."""
    inputs: str = ""
    """Digest of the dataset and the sources, and in later rungs of the training so far; stamped on by the DAG: KFP's
    cache knows artifacts by their names only."""

    @property
    def is_control(self) -> bool:
        """Whether this is the network trained from random weights."""
        return self.strategy is None

    @property
    def strategy_name(self) -> str:
        """The strategy's name, `control` for the control."""
        return "control" if self.strategy is None else self.strategy.name


class RaceJob(Job):
    """What the later rungs of a tournament go by."""

    sizes: list[int] = []
    """How many candidates train in each rung, at most; empty where nothing races."""
    ends: list[int] = []
    """Passes over the training split that each has made at a rung's end."""
    passes: int = 0
    """What may be shown in all rungs together, in passes over the training split."""
    spent: int = 0
    """The first rung's share of it."""
    images: int = 0
    """In the training split."""
    minutes: float | None = None
    """Cap on the trainings' time, added up."""
    cross_validate: bool = False
    """Whether finalists are scored in folds."""
    controls: list[FinetuneJob] = []
    """Of all networks; those of the finalists are trained beside them."""
    inputs: str = ""
    """Digest of the dataset and the sources, as in the candidates."""

    def stamped(self, inputs: str) -> "RaceJob":
        """Returns the same for known inputs."""
        controls = [control.model_copy(update={"inputs": inputs}) for control in self.controls]
        return self.model_copy(update={"inputs": inputs, "controls": controls})


class SelectJob(Job):
    """Finished candidates to the chosen one, by validation only."""

    confirm_seeds: int
