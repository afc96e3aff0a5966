"""Commands that run one step without KFP: each creates the step's job from its options and calls the step once."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from graftline.cli.options import (
    Checkpoint,
    ConfigFile,
    DataArtifact,
    Evaluation,
    Exported,
    GateResult,
    Out,
    Set,
    load_for_artifact,
)
from graftline.cli.run_step import print_training, run_step, sources_folder
from graftline.config import file
from graftline.runtime.errors import RefusedError
from graftline.strategies import STRATEGIES

steps = typer.Typer()


@steps.command()
def preprocess(
    data: Annotated[str, typer.Option(help="Raw data: folder, archive or file, local or gs://.")],
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
    target: Annotated[
        Path | None,
        typer.Option(
            help="Dataset artifact of the target, if this data is a source: images are resized to the target's size, "
            "and images that occur in the target's test split are excluded."
        ),
    ] = None,
) -> None:
    """Check, split and resize raw images and write them as a dataset artifact.

    Options of the data are keys of `target`: --set target.columns.label=species --set target.min_side=32.
    """
    from graftline.data.dataset import PAGE
    from graftline.report.wording import plural
    from graftline.steps.fingerprint import fingerprint
    from graftline.steps.preprocess import preprocess as step
    from graftline.storage import access

    checked = load_for_artifact(config, set_, data)
    checked = checked.model_copy(update={"target": checked.target.model_copy(update={"data": data})})
    if not access.is_remote(data) and out.resolve().is_relative_to(Path(data).resolve()):
        raise RefusedError(f"--out {out}: is inside --data; give a folder outside it")
    job = fingerprint(file.absolute(checked)).target.model_copy(update={"labeled": False})
    manifest = run_step("preprocess", step, job, target=target, out=out)
    sizes = ", ".join(f"{count:,} {name}" for name, count in manifest.sizes.items())
    print(f"{out}: {len(manifest.classes)} classes, {sizes}, {len(manifest.dropped)} dropped, {manifest.digest}")
    print(f"{out / PAGE}: {plural(len(manifest.warnings), 'warning')}")


@steps.command()
def pretrain(
    data: DataArtifact,
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
    init: Annotated[
        str,
        typer.Option(help="random, DEFAULT (pretrained weights of the library), a state dict file or a checkpoint."),
    ] = "random",
    backbone: Annotated[
        str | None, typer.Option(help="Any torchvision classifier, mlp, cnn or rnn; by default that of the config.")
    ] = None,
) -> None:
    """Train a source checkpoint on a dataset artifact; with an empty dataset, write the weights of --init unchanged."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.pretrain import pretrain as step
    from graftline.training.processes import ranks

    checked = load_for_artifact(config, set_, data)
    source = checked.source[0].model_copy(
        update={"name": out.name, "init": init, "backbone": backbone or checked.backbone}
    )
    job = jobs_of(file.absolute(checked.model_copy(update={"source": [source]})), {}).sources[0].pretrain
    with ranks.main_process_output(out) as out:
        print_training(out, run_step("pretrain", step, job, dataset=data, out=out).row)


@steps.command()
def finetune(
    data: DataArtifact,
    source: Annotated[Path, typer.Option(help="Source checkpoint.")],
    out: Out,
    strategy: Annotated[str, typer.Option(help=f"One of {', '.join(STRATEGIES)}.")] = "staged",
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Training state (a step-... folder) to resume from; by default the state of an interrupted training."
        ),
    ] = None,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Fine-tune a source checkpoint on the target's dataset with one strategy."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.finetune import finetune as step
    from graftline.steps.plan import plan
    from graftline.training.processes import ranks

    strategies = [] if strategy == "control" else [f"strategies=[{strategy}]"]
    checked = load_for_artifact(config, [*strategies, *set_], data)
    with tempfile.TemporaryDirectory() as folder, ranks.main_process_output(out) as out:
        plan_job = jobs_of(checked.model_copy(update={"budget": None}), {}).plan  # one candidate needs no tournament
        planned = plan(plan_job, sources=[source], dataset=data, out=Path(folder))
        jobs = [*planned.candidates, *planned.race.controls]
        job = next(c for c in jobs if c.is_control == (strategy == "control"))
        print_training(
            out,
            run_step(f"finetune-{job.name}", step, job, sources=Path(folder), dataset=data, out=out, resume=resume).row,
        )


@steps.command()
def evaluate(
    data: DataArtifact,
    out: Out,
    chosen: Annotated[list[Path], typer.Option(help="Checkpoint to evaluate; repeat for more seeds.")],
    control: Annotated[list[Path], typer.Option(help="Checkpoint of the control; repeat for more seeds.")],
    source: Annotated[Path, typer.Option(help="Source checkpoint that --chosen was fine-tuned from.")],
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Evaluate a candidate and its control on the test split: metrics, transfer gain with its interval, verdict."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.evaluate import evaluate as step

    checked = load_for_artifact(config, set_, data)
    with sources_folder([source]) as sources:
        result = run_step(
            "evaluate",
            step,
            jobs_of(checked, {}).evaluate,
            dataset=data,
            sources=sources,
            chosen=chosen[0],
            control=control[0],
            confirmations=[*chosen[1:], *control[1:]],
            out=out,
        )
    main = result.gain.measure
    score, control_score = (
        f"{side[main].value:.4g}" if main == "rmse" else f"{side[main].value:.1%}"
        for side in (result.test, result.control_test)
    )
    print(f"{out}: {result.gain.unit.figure} {score}, control {control_score}, gain {result.gain}")


@steps.command("export-onnx")
def export_onnx(data: DataArtifact, checkpoint: Checkpoint, evaluation: Evaluation, out: Out) -> None:
    """Export a checkpoint to ONNX and check on the full test split that both give the same outputs."""
    from graftline.config.jobs import ExportJob
    from graftline.steps.export_onnx import export_onnx as step

    manifest = run_step(
        "export-onnx", step, ExportJob(), dataset=data, chosen=checkpoint, evaluation=evaluation, out=out
    )
    print(f"{out}: {manifest.summary()}")


@steps.command()
def select(
    candidate: Annotated[
        list[Path], typer.Option(help="Trained candidate; repeat for each candidate and the control.")
    ],
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Choose a candidate by its validation score; writes chosen/, control/ and selection/ to --out."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.select import select as step

    job = jobs_of(load_for_artifact(config, set_, "none"), {}).select
    folders = {name: out / name for name in ("chosen", "control", "selection")}

    def select_into_folders(job: Any, *, out: Path) -> Any:
        return step(
            job, candidates=candidate, chosen=folders["chosen"], control=folders["control"], out=folders["selection"]
        )

    for confirmation in run_step("select", select_into_folders, job, out=out):
        if not confirmation.skip:
            print(f"to confirm: {confirmation.name}, seed {confirmation.seed}")


@steps.command()
def gate(
    data: DataArtifact, evaluation: Evaluation, onnx: Exported, out: Out, config: ConfigFile = None, set_: Set = []
) -> None:
    """Apply the release gate to an exported model. Exit status: 0 promote, 1 hold or reject."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.gate import gate as step

    job = jobs_of(load_for_artifact(config, set_, data), {}).gate
    verdict = run_step("gate", step, job, dataset=data, onnx=onnx, evaluation=evaluation, out=out)
    print(verdict.verdict, *verdict.reasons, sep="\n  ")
    raise typer.Exit(0 if verdict.verdict == "promote" else 1)


@steps.command()
def release(
    data: DataArtifact,
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    onnx: Exported,
    gate_result: GateResult,
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Write the release folder of a model that the gate promoted."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.release import release as step

    job = jobs_of(load_for_artifact(config, set_, data), {}).release
    run_step(
        "release",
        step,
        job,
        dataset=data,
        onnx=onnx,
        evaluation=evaluation,
        gate=gate_result,
        chosen=checkpoint,
        out=out,
    )


@steps.command()
def report(
    data: DataArtifact,
    source: Annotated[list[Path], typer.Option(help="Source checkpoint; repeat.")],
    selected: Annotated[Path, typer.Option(help="Output folder of `graftline select`.")],
    evaluation: Evaluation,
    onnx: Exported,
    gate_result: GateResult,
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Write report.html and summary.json from the artifacts of the other commands."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.report import report as step

    job = jobs_of(load_for_artifact(config, set_, data), {}).report
    with sources_folder(source) as sources:
        run_step(
            "report",
            step,
            job,
            dataset=data,
            sources=sources,
            selection=selected / "selection",
            chosen=selected / "chosen",
            control=selected / "control",
            evaluation=evaluation,
            onnx=onnx,
            gate=gate_result,
            out=out,
        )
    print(out / "report.html")
