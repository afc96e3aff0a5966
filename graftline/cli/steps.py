"""Any step without KFP: each command makes the step's job of its options and calls it once."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import yaml

from graftline.config import Config, Strategy, file
from graftline.runtime.errors import RefusedError

steps = typer.Typer()

STRATEGY_NAMES = [each.model_fields["name"].default for each in get_args(get_args(Strategy)[0])]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="YAML config; see docs/config.md.")]
Set = Annotated[list[str], typer.Option("--set", help="Override one key, such as finetune.epochs=5; repeatable.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
DataArtifact = Annotated[Path, typer.Option("--data", help="Dataset artifact, as `graftline preprocess` writes it.")]
Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Checkpoint artifact.")]
Evaluated = Annotated[Path, typer.Option("--evaluation", help="Metrics artifact, as `graftline evaluate` writes it.")]
Exported = Annotated[Path, typer.Option("--onnx", help="ONNX artifact, as `graftline export-onnx` writes it.")]
Judged = Annotated[Path, typer.Option("--gate", help="Gate artifact, as `graftline gate` writes it.")]


def configured(path: Path | None, overrides: list[str], base: dict[str, Any] | None = None) -> Config:
    """Reads the config that a command was given; without a file, `base`, else the embedded demo."""
    demo = resources.files("graftline.cli").joinpath("demo.yaml").read_text(encoding="utf-8")
    default = base if base is not None else {} if path else yaml.safe_load(demo)
    return file.load(path, overrides, default)


@steps.command()
def preprocess(
    data: Annotated[str, typer.Option(help="Raw data: folder, archive or file, local or gs://.")],
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
    target: Annotated[
        Path | None,
        typer.Option(
            help="Target's dataset artifact, when this is a source: its size is taken, its test images are left out."
        ),
    ] = None,
) -> None:
    """Turn raw images into a dataset artifact: checked, split, resized, hashed.

    Keys of the data stand below `target`: --set target.columns.label=species --set target.min_side=32.
    """
    from graftline.data.dataset import PAGE
    from graftline.report.wording import plural
    from graftline.steps.fingerprint import fingerprint
    from graftline.steps.preprocess import preprocess as step
    from graftline.storage import access

    whole = configured(config, set_, {"target": {"data": data}})
    whole = whole.model_copy(update={"target": whole.target.model_copy(update={"data": data})})
    if not access.is_remote(data) and out.resolve().is_relative_to(Path(data).resolve()):
        raise RefusedError(f"--out {out}: lies inside of --data; give a folder elsewhere")
    job = fingerprint(file.absolute(whole)).target.model_copy(update={"labelled": False})
    manifest = _step("preprocess", step, job, target=target, out=out)
    sizes = ", ".join(f"{count:,} {name}" for name, count in manifest.sizes.items())
    print(f"{out}: {len(manifest.classes)} classes, {sizes}, {len(manifest.dropped)} dropped, {manifest.digest}")
    print(f"{out / PAGE}: {plural(len(manifest.warnings), 'warning')}")


@steps.command()
def pretrain(
    data: DataArtifact,
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
    init: Annotated[str, typer.Option(help="random, DEFAULT, a state dict file or a checkpoint.")] = "random",
    backbone: Annotated[str | None, typer.Option(help="Any torchvision classifier, or mlp, cnn, rnn.")] = None,
) -> None:
    """Train a source checkpoint on a dataset artifact (an empty one: take the weights of --init as they are)."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.pretrain import pretrain as step
    from graftline.training.processes import ranks

    whole = configured(config, set_, {"target": {"data": str(data)}})
    source = whole.source[0].model_copy(update={"name": out.name, "init": init, "backbone": backbone or whole.backbone})
    job = jobs_of(file.absolute(whole.model_copy(update={"source": [source]})), {}).sources[0].pretrain
    with ranks.voice(out) as out:
        _print_row(out, _step("pretrain", step, job, dataset=data, out=out).row)


@steps.command()
def finetune(
    data: DataArtifact,
    source: Annotated[Path, typer.Option(help="Source checkpoint.")],
    out: Out,
    strategy: Annotated[str, typer.Option(help=f"{', '.join(STRATEGY_NAMES)} or control.")] = "staged",
    resume: Annotated[
        Path | None,
        typer.Option(help="State to go on from (a step-... folder); without it a killed training goes on by itself."),
    ] = None,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Train one candidate: a source checkpoint carried to the target by one strategy."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.finetune import finetune as step
    from graftline.steps.plan import plan
    from graftline.training.processes import ranks

    base: dict[str, Any] = {"target": {"data": str(data)}}
    chosen = [] if strategy == "control" else [f"strategies=[{strategy}]"]
    whole = configured(config, [*chosen, *set_], base)
    with tempfile.TemporaryDirectory() as folder, ranks.voice(out) as out:
        alone = jobs_of(whole.model_copy(update={"budget": None}), {}).plan  # it races with nobody
        planned = plan(alone, sources=[source], dataset=data, out=Path(folder))
        every = [*planned.candidates, *planned.race.controls]
        job = next(c for c in every if c.is_control == (strategy == "control"))
        _print_row(
            out,
            _step(f"finetune-{job.name}", step, job, sources=Path(folder), dataset=data, out=out, resume=resume).row,
        )


@steps.command()
def evaluate(
    data: DataArtifact,
    out: Out,
    chosen: Annotated[list[Path], typer.Option(help="Checkpoint to judge; repeat for more seeds.")],
    control: Annotated[list[Path], typer.Option(help="Control's checkpoint; repeat for more seeds.")],
    source: Annotated[Path, typer.Option(help="Source checkpoint that --chosen started from.")],
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Score a candidate and its control on the test split: figures, gain, interval, verdict."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.evaluate import evaluate as step

    whole = configured(config, set_, {"target": {"data": str(data)}})
    with _gathered([source]) as sources:
        figures = _step(
            "evaluate",
            step,
            jobs_of(whole, {}).evaluate,
            dataset=data,
            sources=sources,
            chosen=chosen[0],
            control=control[0],
            confirmations=[*chosen[1:], *control[1:]],
            out=out,
        )
    main = figures.gain.measure
    ours, theirs = (
        f"{side[main].value:.4g}" if main == "rmse" else f"{side[main].value:.1%}"
        for side in (figures.test, figures.control_test)
    )
    print(f"{out}: {figures.gain.unit.figure} {ours}, control {theirs}, gain {figures.gain}")


@steps.command("export-onnx")
def export_onnx(data: DataArtifact, checkpoint: Checkpoint, evaluation: Evaluated, out: Out) -> None:
    """Export a checkpoint to ONNX and prove on the whole test split that it is the same model."""
    from graftline.config.jobs import ExportJob
    from graftline.steps.export_onnx import export_onnx as step

    manifest = _step("export-onnx", step, ExportJob(), dataset=data, chosen=checkpoint, evaluation=evaluation, out=out)
    print(f"{out}: {manifest.summary()}")


@steps.command()
def select(
    candidate: Annotated[list[Path], typer.Option(help="Finished candidate, the control too; repeat.")],
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Choose a candidate by validation alone; writes chosen/, control/ and selection/ into --out."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.select import select as step

    job = jobs_of(configured(config, set_, {"target": {"data": "none"}}), {}).select
    places = {name: out / name for name in ("chosen", "control", "selection")}

    def into(job: Any, *, out: Path) -> Any:
        return step(
            job, candidates=candidate, chosen=places["chosen"], control=places["control"], out=places["selection"]
        )

    for confirmation in _step("select", into, job, out=out):
        if not confirmation.skip:
            print(f"to confirm: {confirmation.name}, seed {confirmation.seed}")


@steps.command()
def gate(
    data: DataArtifact, evaluation: Evaluated, onnx: Exported, out: Out, config: ConfigFile = None, set_: Set = []
) -> None:
    """Judge an exported file: exit status 0 when it may ship, 1 when not."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.gate import gate as step

    job = jobs_of(configured(config, set_, {"target": {"data": str(data)}}), {}).gate
    verdict = _step("gate", step, job, dataset=data, onnx=onnx, evaluation=evaluation, out=out)
    print(verdict.verdict, *verdict.reasons, sep="\n  ")
    raise typer.Exit(0 if verdict.verdict == "promote" else 1)


@steps.command()
def release(
    data: DataArtifact,
    checkpoint: Checkpoint,
    evaluation: Evaluated,
    onnx: Exported,
    judged: Judged,
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Write the release folder of a file that the gate promoted."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.release import release as step

    job = jobs_of(configured(config, set_, {"target": {"data": str(data)}}), {}).release
    _step("release", step, job, dataset=data, onnx=onnx, evaluation=evaluation, gate=judged, chosen=checkpoint, out=out)


@steps.command()
def report(
    data: DataArtifact,
    source: Annotated[list[Path], typer.Option(help="Source checkpoint; repeat.")],
    selected: Annotated[Path, typer.Option(help="Folder that `graftline select` wrote.")],
    evaluation: Evaluated,
    onnx: Exported,
    judged: Judged,
    out: Out,
    config: ConfigFile = None,
    set_: Set = [],
) -> None:
    """Write report.html and summary.json of artifacts that other commands made."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.report import report as step

    job = jobs_of(configured(config, set_, {"target": {"data": str(data)}}), {}).report
    with _gathered(source) as sources:
        _step(
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
            gate=judged,
            out=out,
        )
    print(out / "report.html")


@contextmanager
def _gathered(sources: list[Path]) -> Iterator[Path]:
    """The folder that plan would make of source checkpoints."""
    from graftline.models.checkpoint import CheckpointManifest
    from graftline.runtime import manifest
    from graftline.steps.plan import link

    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            link(source, Path(folder) / manifest.read(source, CheckpointManifest).name)
        yield Path(folder)


def _step(name: str, function: Any, job: Any, *, out: Path, **paths: Path | list[Path] | None) -> Any:
    """Runs a step into a folder that must not hold another artifact, with live progress."""
    from graftline.runtime import events
    from graftline.runtime.cache_location import keeping_states

    if out.is_file():
        raise RefusedError(f"--out {out}: is a file; give a new folder")
    if out.exists() and any(out.iterdir()):
        raise RefusedError(f"--out {out}: not empty; give a new folder, or remove it first")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"--out {out}: cannot be made ({error.strerror}); give another folder") from None
    with keeping_states(), events.step(name):
        try:
            return function(job, out=out, **paths)
        except RefusedError:
            shutil.rmtree(out)  # nothing in it is whole, and the next try wants a new folder
            raise


def _print_row(out: Path, row: Any) -> None:
    score = (
        f", validation accuracy {row.val_accuracy:.3f}"
        if row.val_accuracy is not None
        else f", validation score {row.val_score:.3f}"
        if row.val_score is not None
        else ""
    )
    print(
        f"{out}: {row.status}{score}, {row.examples_seen:,} presentations in {row.train_seconds:.1f} s"
        + (f"; {row.reason}" if row.reason else "")
    )
