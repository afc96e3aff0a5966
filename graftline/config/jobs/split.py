"""Splits a config into the jobs of the steps."""

from graftline.config import Budget, Config, Data, Source
from graftline.config.jobs.base import Job
from graftline.config.jobs.data import DecodeJob, PreprocessJob
from graftline.config.jobs.evaluation import EvaluateJob, ExportJob, GateJob, ReleaseJob, ReportJob
from graftline.config.jobs.training import PlanJob, PretrainJob, SelectJob, SourceJob
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text


class Jobs(Job):
    """The jobs of one run."""

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
    """Returns the jobs of all steps of a run.

    Args:
        config: The config of the run.
        fingerprints: Fingerprints of raw data by `Data.data` and of weights by `Source.init`.
    """
    target = _preprocess(config, config.target, config.target.label, fingerprints)
    return Jobs(
        target=target,
        sources=[
            SourceJob(
                preprocess=_preprocess(config, source, source.label, fingerprints),
                pretrain=_pretrain(config, source, fingerprints),
                target=digest_text(target.to_json()),
            )
            for source in config.source
        ],
        plan=PlanJob(
            strategies=config.strategies,
            head=config.head,
            training=config.finetune,
            control=config.control,
            checkpoint_uri=config.checkpoint_uri,
            budget=config.budget or (Budget() if config.races else None),
            seed=config.seed,
        ),
        select=SelectJob(confirm_seeds=config.confirm_seeds),
        evaluate=EvaluateJob(delta=config.delta, seed=config.seed),
        export_onnx=ExportJob(),
        gate=GateJob(gate=config.gate, delta=config.delta),
        release=ReleaseJob(store=config.store, delta=config.delta),
        report=ReportJob(config=config),
    )


def check_dag(config: Config, *, tournament: bool) -> None:
    """Checks that a DAG can run a config.

    Args:
        config: The config of the run.
        tournament: Whether the DAG has the rungs of a tournament; such a DAG also runs configs without one.

    Raises:
        RefusedError: The config needs rungs that the DAG does not have.
    """
    if config.races and not tournament:
        key = "budget" if config.budget else "strategies: auto"
        raise RefusedError(
            f"{key}: needs a tournament, but this DAG has no rungs; submit the pipeline's "
            "-tournament.yaml file, which `graftline compile` also writes"
        )


def decode_jobs(jobs: Jobs, shards: int) -> list[DecodeJob]:
    """Returns the shards of the target and of each source that has data.

    Args:
        jobs: The jobs of the run.
        shards: Number of shards per task, at least 1.

    Returns:
        At least one job. A source whose job equals that of another task shares its shards.

    Raises:
        RefusedError: The config has no `image_size`.
    """
    if jobs.target.image_size is None:
        raise RefusedError(
            "image_size: missing, and no shard has all images to derive it from; set it, or use the DAG without fan-out"
        )
    tasks = {jobs.target.to_json(): ("target", jobs.target)}
    for source in jobs.sources:
        if source.preprocess.data.data is not None:
            tasks.setdefault(source.preprocess.to_json(), (source.preprocess.label, source.preprocess))
    return [
        DecodeJob(data=job, shard=shard, shards=shards, name=f"{name}-{shard + 1}of{shards}")
        for name, job in tasks.values()
        for shard in range(shards)
    ]


def _preprocess(config: Config, data: Data, label: str, fingerprints: dict[str, str]) -> PreprocessJob:
    fields = {name: getattr(data, name) for name in Data.model_fields}
    return PreprocessJob(
        label=label,
        data=Data(**fields),
        image_size=config.image_size,
        seed=config.seed,
        fingerprint=fingerprints.get(data.data or "", ""),
        ledger_fingerprint=fingerprints.get(data.ledger or "", ""),
        packed_above=config.packed_above,
        task=config.task_of(data),
        target_share=getattr(data, "target_share", None),
    )


def _pretrain(config: Config, source: Source, fingerprints: dict[str, str]) -> PretrainJob:
    return PretrainJob(
        label=source.label,
        init=source.init,
        backbone=source.backbone or config.backbone,
        small=config.small,
        head=config.head,
        training=config.pretrain,
        seed=config.seed,
        checkpoint_uri=config.checkpoint_uri,
        fingerprint=fingerprints.get(source.init, ""),
    )
