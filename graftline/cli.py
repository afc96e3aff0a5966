"""The command line: each command is a thin face over a step, a pipeline or a release."""

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

import graftline
from graftline import config_file
from graftline.config import Config
from graftline.errors import DivergedError, RefusedError

app = typer.Typer(help="Transfer learning as a Kubeflow pipeline: pretrain, transfer, prove that it helped, export, "
                  "release.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="YAML config; see docs/config.md.")]
Set = Annotated[list[str], typer.Option("--set", help="Override one key, such as finetune.epochs=5; repeatable.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
DataArtifact = Annotated[Path, typer.Option("--data", help="Dataset artifact, as `graftline preprocess` writes it.")]
Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Checkpoint artifact.")]
Evaluated = Annotated[Path, typer.Option("--evaluation", help="Metrics artifact, as `graftline evaluate` writes it.")]
Exported = Annotated[Path, typer.Option("--onnx", help="ONNX artifact, as `graftline export-onnx` writes it.")]


def main() -> None:
    """Runs the command line; what the user can mend becomes one message and exit status 2."""
    try:
        app()
    except RefusedError as error:
        sys.exit(_complain(error, 2))
    except DivergedError as error:
        sys.exit(_complain(error, 1))


def _complain(error: Exception, status: int) -> int:
    for line in str(error).splitlines():
        print(f"graftline: {line}", file=sys.stderr)
    return status


def _version(asked: bool) -> None:
    if asked:
        print(f"graftline {graftline.__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                                help="Print the version and stop.")] = False) -> None:
    """Holds --version."""


# The pipelines


@app.command()
def run(pipeline: Annotated[str, typer.Argument(help="Name of the pipeline, such as `transfer`.")],
        config: ConfigFile = None, set_: Set = [],
        runner: Annotated[str, typer.Option(help="`subprocess`, or `docker` for the container images.")] = "subprocess",
        image: Annotated[str | None, typer.Option(help="Container image for --runner docker.")] = None,
        out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for run.json, report.html, release/ and "
                                                 "logs/; by default runs/<pipeline>.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check config and data, print what would run, stop."
                                              )] = False) -> None:
    """Run a pipeline on this machine, through the same DAG that a cluster runs.

    Without --config it runs the embedded demo: handwritten digits, no download. Finished steps are cached: a rerun
    picks up where a failed one stopped. Exit status: 0 succeeded, 1 a step failed, 2 config or data refused.
    """
    from graftline.pipelines import PIPELINES
    from graftline.pipelines.local import run_local

    _known("pipeline", pipeline, PIPELINES)
    _known("runner", runner, ("subprocess", "docker"))
    whole = config_file.absolute(_config(config, set_))
    if dry_run:
        _explain(whole)
        return
    result = run_local(pipeline, whole, out=out or Path("runs") / pipeline, runner=runner, image=image)
    raise typer.Exit(result.exit_code)


@app.command()
def compile(pipelines: Annotated[list[str] | None, typer.Argument(help="Which ones; by default all, and the "
                                                                  "components too.")] = None,
            profile: Annotated[str, typer.Option(help="Hardware for the training steps; see --list-profiles.")] = "gpu",
            image: Annotated[str | None, typer.Option(help="Container image, best by digest.")] = None,
            gpu_image: Annotated[str | None, typer.Option(help="Image of the steps that train; by default --image."
                                                          )] = None,
            out: Out = Path("compiled"),
            list_profiles: Annotated[bool, typer.Option("--list-profiles", help="Print the profiles' names.")] = False
            ) -> None:
    """Write pipelines (and components) as KFP YAML."""
    from graftline.pipelines import PIPELINES
    from graftline.pipelines.compile import compile_components, compile_pipeline
    from graftline.pipelines.placement import PROFILES

    if list_profiles:
        print("\n".join(PROFILES))
        return
    _known("profile", profile, PROFILES)
    for name in pipelines or PIPELINES:
        _known("pipeline", name, PIPELINES)
        print(compile_pipeline(name, profile=profile, out=out, image=image, training_image=gpu_image))
    if not pipelines:
        print(*compile_components(out / "components", image=image), sep="\n")


# The steps, without KFP


@app.command()
def preprocess(data: Annotated[str, typer.Option(help="Raw data: folder, archive or file, local or gs://.")],
               out: Out, config: ConfigFile = None, set_: Set = [],
               target: Annotated[Path | None, typer.Option(help="Target's dataset artifact, when this is a source: its "
                                                           "size is taken, its test images are left out.")] = None
               ) -> None:
    """Turn raw images into a dataset artifact: checked, split, resized, hashed."""
    from graftline.steps.fingerprint import fingerprint
    from graftline.steps.preprocess import preprocess as step

    whole = _config(config, set_, {"target": {"data": data}})
    whole = whole.model_copy(update={"target": whole.target.model_copy(update={"data": data})})
    job = fingerprint(config_file.absolute(whole)).target
    manifest = _step("preprocess", step, job, target=target, out=out)
    sizes = ", ".join(f"{count:,} {name}" for name, count in manifest.sizes.items())
    print(f"{out}: {len(manifest.classes)} classes, {sizes}, {len(manifest.dropped)} dropped, {manifest.digest}")


@app.command()
def pretrain(data: DataArtifact, out: Out, config: ConfigFile = None, set_: Set = [],
             init: Annotated[str, typer.Option(help="random, DEFAULT, a state dict file or a checkpoint.")] = "random",
             backbone: Annotated[str | None, typer.Option(help="Any torchvision classifier, or mlp, cnn, rnn.")] = None
             ) -> None:
    """Train a source checkpoint on a dataset artifact (an empty one: take the weights of --init as they are)."""
    from graftline.jobs import jobs_of
    from graftline.steps.pretrain import pretrain as step

    whole = _config(config, set_, {"target": {"data": str(data)}})
    source = whole.source[0].model_copy(update={"name": out.name, "init": init,
                                                "backbone": backbone or whole.backbone})
    job = jobs_of(config_file.absolute(whole.model_copy(update={"source": [source]})), {}).sources[0].pretrain
    _print_row(out, _step("pretrain", step, job, dataset=data, out=out).row)


@app.command()
def finetune(data: DataArtifact, source: Annotated[Path, typer.Option(help="Source checkpoint.")], out: Out,
             strategy: Annotated[str, typer.Option(help="zero, feature, partial, staged, full, structure or control."
                                                   )] = "staged",
             config: ConfigFile = None, set_: Set = []) -> None:
    """Train one candidate: a source checkpoint carried to the target by one strategy."""
    import tempfile

    from graftline.jobs import jobs_of
    from graftline.steps.finetune import finetune as step
    from graftline.steps.plan import plan

    base: dict[str, Any] = {"target": {"data": str(data)}}
    chosen = [] if strategy == "control" else [f"strategies=[{strategy}]"]
    whole = _config(config, [*chosen, *set_], base)
    with tempfile.TemporaryDirectory() as folder:
        candidates = plan(jobs_of(whole, {}).plan, sources=[source], dataset=data, out=Path(folder))
        job = next(c for c in candidates if c.is_control == (strategy == "control"))
        _print_row(out, _step(f"finetune-{job.name}", step, job, sources=Path(folder), dataset=data, out=out).row)


@app.command()
def evaluate(data: DataArtifact, out: Out,
             chosen: Annotated[list[Path], typer.Option(help="Checkpoint to judge; repeat for more seeds.")],
             control: Annotated[list[Path], typer.Option(help="Control's checkpoint; repeat for more seeds.")],
             source: Annotated[Path, typer.Option(help="Source checkpoint that --chosen started from.")],
             config: ConfigFile = None, set_: Set = []) -> None:
    """Score a candidate and its control on the test split: figures, gain, interval, verdict."""
    import tempfile

    from graftline import manifest
    from graftline.checkpoint import CheckpointManifest
    from graftline.jobs import jobs_of
    from graftline.steps.evaluate import evaluate as step
    from graftline.steps.plan import link

    whole = _config(config, set_, {"target": {"data": str(data)}})
    with tempfile.TemporaryDirectory() as folder:
        link(source, Path(folder) / manifest.read(source, CheckpointManifest).name)
        figures = _step("evaluate", step, jobs_of(whole, {}).evaluate, dataset=data, sources=Path(folder),
                        chosen=chosen[0], control=control[0], confirmations=[*chosen[1:], *control[1:]], out=out)
    gain = figures.gain
    ours, theirs = figures.test["accuracy"].value, figures.control_test["accuracy"].value
    seeds = "1 seed" if gain.seeds == 1 else f"{gain.seeds} seeds"
    print(f"{out}: accuracy {ours:.3f}, control {theirs:.3f}, "
          f"gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] over {seeds}: {gain.verdict}")


@app.command("export-onnx")
def export_onnx(data: DataArtifact, checkpoint: Checkpoint, evaluation: Evaluated, out: Out) -> None:
    """Export a checkpoint to ONNX and prove on the whole test split that it is the same model."""
    from graftline.jobs import ExportJob
    from graftline.steps.export_onnx import export_onnx as step

    manifest = _step("export-onnx", step, ExportJob(), dataset=data, chosen=checkpoint, evaluation=evaluation, out=out)
    print(f"{out}: {manifest.summary()}")


@app.command()
def release(data: DataArtifact, checkpoint: Checkpoint, evaluation: Evaluated, onnx: Exported, out: Out,
            config: ConfigFile = None, set_: Set = []) -> None:
    """Judge an exported file by the gate and, when it is promoted, write its release folder."""
    import tempfile

    from graftline.jobs import jobs_of
    from graftline.steps.gate import gate
    from graftline.steps.release import release as step

    jobs = jobs_of(_config(config, set_, {"target": {"data": str(data)}}), {})
    with tempfile.TemporaryDirectory() as folder:
        verdict = gate(jobs.gate, dataset=data, onnx=onnx, evaluation=evaluation, out=Path(folder))
        print(verdict.verdict, *verdict.reasons, sep="\n  ")
        if verdict.verdict != "promote":
            raise typer.Exit(1)
        _step("release", step, jobs.release, dataset=data, onnx=onnx, evaluation=evaluation, gate=Path(folder),
              chosen=checkpoint, out=out)


# The released model


@app.command()
def predict(model: Annotated[Path, typer.Argument(help="Release folder or model.onnx.")],
            images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
            json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """Label images with a released model."""
    import json as json_text

    from graftline.predict import predict as answers

    for answer in answers(model, images):
        print(json_text.dumps(answer.as_dict()) if json else answer.as_line())


@app.command()
def verify(release: Annotated[Path, typer.Argument(help="Release folder.")]) -> None:
    """Check that a release is whole, unedited, and still gives the outputs that were stored with it."""
    from graftline.release import verify as checks

    for check in checks(release):
        print(f"ok  {check}")


@app.command()
def doctor() -> None:
    """Say what is installed, what is reachable, and what is missing."""
    from graftline.doctor import checks

    faults = 0
    for check in checks():
        print(f"{check.state:<8} {check.what}: {check.found}")
        faults += check.state == "missing"
    raise typer.Exit(1 if faults else 0)


# What the commands share


def _config(path: Path | None, overrides: list[str], base: dict[str, Any] | None = None) -> Config:
    demo = resources.files("graftline").joinpath("demo.yaml").read_text(encoding="utf-8")
    default = base if base is not None else {} if path else yaml.safe_load(demo)
    return config_file.load(path, overrides, default)


def _known(what: str, name: str, table: Any) -> None:
    if name not in table:
        raise RefusedError(f"{what} {name!r}: not known; there are {', '.join(table)}")


def _step(name: str, function: Any, job: Any, *, out: Path, **paths: Path | list[Path] | None) -> Any:
    """Runs a step into a folder that must not hold another artifact, with live progress."""
    from graftline import events

    if out.exists() and any(out.iterdir()):
        raise RefusedError(f"--out {out}: not empty; give a new folder, or remove it first")
    out.mkdir(parents=True, exist_ok=True)
    with events.step(name):
        return function(job, out=out, **paths)


def _print_row(out: Path, row: Any) -> None:
    score = "" if row.val_accuracy is None else f", validation accuracy {row.val_accuracy:.3f}"
    print(f"{out}: {row.status}{score}, {row.presentations:,} presentations in {row.train_seconds:.1f} s"
          + (f"; {row.reason}" if row.reason else ""))


def _explain(config: Config) -> None:
    from graftline.report.again import to_yaml
    from graftline.steps.fingerprint import fingerprint

    jobs = fingerprint(config)
    print(to_yaml(config).rstrip())
    print(f"\ntarget {jobs.target.label}: {jobs.target.fingerprint}")
    for source in jobs.sources:
        print(f"source {source.pretrain.label}: {source.pretrain.init}, {source.preprocess.fingerprint or 'no data'}")
    print("candidates:", ", ".join(f"{s.pretrain.label}-{strategy.name}" for s in jobs.sources
                                   for strategy in config.strategies), "and the control")
