"""What each step is told: only its own knobs, as one canonical JSON string, so that a cache key holds nothing else."""

from pydantic import Field

from graftline.config import (
    Asked,
    Budget,
    Config,
    Control,
    Data,
    Gate,
    Head,
    Knobs,
    Predicted,
    Small,
    Source,
    Strategy,
    Training,
)
from graftline.config.strategies import Distill
from graftline.errors import RefusedError
from graftline.manifest import canonical_json, digest_text


class Job(Knobs):
    """Base of all jobs."""

    def to_json(self) -> str:
        """The job as canonical JSON: equal jobs are equal strings."""
        return canonical_json(self.model_dump(mode="json"))


class PreprocessJob(Job):
    """Raw data to one dataset artifact. `data` without a place makes an empty one of the target's shape."""

    label: str
    data: Data
    image_size: int | None
    seed: int
    fingerprint: str
    ledger_fingerprint: str = ""
    """Of the earlier split ledger, where one is given."""
    packed_above: float = 16.0
    """Gigabytes of raw pixels above which images are stored as JPEG."""
    labelled: bool = True
    """Whether data without labels are refused."""
    target_share: float | None = None
    """A source's: this share of the target's training split instead of data of its own."""
    task: Predicted = "classification"
    """What the labels are."""


class DecodeJob(Job):
    """One shard of a task's raw data to decoded samples."""

    data: PreprocessJob
    shard: int = 0
    shards: int = 1
    name: str = ""
    """For logs, such as `target-3of8`; a source goes by its label."""


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

    strategies: list[Asked]
    budget: Budget | None = None
    """Of a tournament; None where each candidate is trained whole."""
    head: Head
    training: Training
    control: Control
    seed: int
    checkpoint_uri: str | None = None
    """Of all candidates."""


class Candidate(Job):
    """One training on the target: a source and a strategy, or the control (`strategy` None)."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """For files and logs, such as `imagenet-staged`; a confirmation ends in `-seed1` and so on."""
    source: str
    """Label of the source; the control takes its network and input contract, not its weights."""
    strategy: Strategy | None
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
    student: Distill | None = None
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
    controls: list[Candidate] = []
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


class EvaluateJob(Job):
    """The chosen candidate and the control on the test split."""

    delta: float
    seed: int


class ExportJob(Job):
    """The chosen checkpoint to ONNX, with parity on the whole test split."""

    batch_sizes: list[int] = [1, 2, 7]
    atol: float = 1e-4


class GateJob(Job):
    """The exported file against the floors."""

    gate: Gate
    delta: float


class ReleaseJob(Job):
    """A promoted file to a release folder, and into the store where there is one."""

    store: str | None
    delta: float
    """Difference in accuracy that counts, for the model card's words."""


class ReportJob(Job):
    """The whole run as one page."""

    config: Config


class Jobs(Job):
    """All steps' jobs of one run."""

    target: PreprocessJob
    sources: list[SourceJob]
    plan: PlanJob
    select: SelectJob
    evaluate: EvaluateJob
    export_onnx: ExportJob
    gate: GateJob
    release: ReleaseJob
    report: ReportJob


def jobs_of(config: Config, fingerprints: dict[str, str]) -> Jobs:
    """Splits a config into the steps' jobs.

    Args:
        config: The whole run.
        fingerprints: Place of raw data (`Data.data`) or weights (`Source.init`) to its fingerprint.
    """
    target = _preprocess(config, config.target, config.target.label, fingerprints)
    return Jobs(
        target=target,
        sources=[SourceJob(preprocess=_preprocess(config, source, source.label, fingerprints),
                           pretrain=_pretrain(config, source, fingerprints), target=digest_text(target.to_json()))
                 for source in config.source],
        plan=PlanJob(strategies=config.strategies, head=config.head, training=config.finetune, control=config.control,
                     checkpoint_uri=config.checkpoint_uri,
                     budget=config.budget or (Budget() if config.races else None), seed=config.seed),
        select=SelectJob(confirm_seeds=config.confirm_seeds),
        evaluate=EvaluateJob(delta=config.delta, seed=config.seed),
        export_onnx=ExportJob(),
        gate=GateJob(gate=config.gate, delta=config.delta),
        release=ReleaseJob(store=config.store, delta=config.delta),
        report=ReportJob(config=config),
    )


def check_dag(config: Config, *, tournament: bool) -> None:
    """Refuses a run in a DAG that cannot express it.

    Args:
        config: The whole run.
        tournament: Whether the DAG has the rungs of a tournament; where nothing races, such a DAG will do as well.

    Raises:
        RefusedError: The config asks for rungs that the DAG does not have.
    """
    if config.races and not tournament:
        asked = "a budget" if config.budget else "strategies: auto"
        raise RefusedError(f"{asked}: asks for a tournament, and this DAG has no rungs; submit "
                           "transfer-tournament.yaml, which `graftline compile` writes beside transfer.yaml")


def decode_jobs(jobs: Jobs, shards: int) -> list[DecodeJob]:
    """Lists all shards of the target and of each source that brings data.

    Args:
        jobs: Of the whole run.
        shards: Of each task, at least 1.

    Returns:
        Never empty. A source of the very same job as another task shares its shards.

    Raises:
        RefusedError: No `image_size` that every shard could take.
    """
    if jobs.target.image_size is None:
        raise RefusedError("image_size: missing; no shard sees all images, so none can choose it. Give it, or take the "
                           "DAG that is not fanned out")
    tasks = {jobs.target.to_json(): ("target", jobs.target)}
    for source in jobs.sources:
        if source.preprocess.data.data is not None:
            tasks.setdefault(source.preprocess.to_json(), (source.preprocess.label, source.preprocess))
    return [DecodeJob(data=job, shard=shard, shards=shards, name=f"{name}-{shard + 1}of{shards}")
            for name, job in tasks.values() for shard in range(shards)]


def _preprocess(config: Config, data: Data, label: str, fingerprints: dict[str, str]) -> PreprocessJob:
    fields = {name: getattr(data, name) for name in Data.model_fields}
    return PreprocessJob(label=label, data=Data(**fields), image_size=config.image_size, seed=config.seed,
                         fingerprint=fingerprints.get(data.data or "", ""),
                         ledger_fingerprint=fingerprints.get(data.ledger or "", ""), packed_above=config.packed_above,
                         task=config.task_of(data), target_share=getattr(data, "target_share", None))


def _pretrain(config: Config, source: Source, fingerprints: dict[str, str]) -> PretrainJob:
    return PretrainJob(label=source.label, init=source.init, backbone=source.backbone or config.backbone,
                       small=config.small, head=config.head, training=config.pretrain, seed=config.seed,
                       checkpoint_uri=config.checkpoint_uri,
                       fingerprint=fingerprints.get(source.init, ""))
