"""The command line: each command is a thin face over a step, a pipeline or a release."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import graftline
from graftline.cli.steps import ConfigFile, Out, Set, configured, steps
from graftline.config import Config, file
from graftline.runtime.errors import DivergedError, RefusedError

app = typer.Typer(
    help="Transfer learning as a Kubeflow pipeline: pretrain, transfer, prove that it helped, export, release.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Holds --version."""


# The pipelines


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline, such as `transfer`.")],
    config: ConfigFile = None,
    set_: Set = [],
    runner: Annotated[str, typer.Option(help="`subprocess`, or `docker` for the container images.")] = "subprocess",
    image: Annotated[str | None, typer.Option(help="Container image for --runner docker.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for run.json, report.html, data.html, logs/; by default runs/<pipeline>."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check config and data, print what would run, stop.")
    ] = False,
) -> None:
    """Run a pipeline on this machine, through the same DAG that a cluster runs.

    Without --config it runs the embedded demo: handwritten digits, no download. Finished steps are cached: a rerun
    picks up where a failed one stopped. Exit status: 0 succeeded, 1 a step failed, 2 config or data refused.
    """
    from graftline.pipelines import PIPELINES
    from graftline.pipelines.local import run_folder
    from graftline.pipelines.local.run import run_local

    _known("pipeline", pipeline, PIPELINES)
    _known("runner", runner, ("subprocess", "docker"))
    out = out or Path("runs") / pipeline
    try:
        whole = file.absolute(configured(config, set_))
    except RefusedError as error:
        if not dry_run:
            run_folder.refuse(out, pipeline=pipeline, message=str(error))
        raise
    if dry_run:
        _explain(whole)
        return
    result = run_local(pipeline, whole, out=out, runner=runner, image=image)
    raise typer.Exit(result.exit_code)


@app.command()
def compile(
    pipelines: Annotated[
        list[str] | None, typer.Argument(help="Which ones; by default all, and the components too.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Hardware for the training steps; see --list-profiles.")] = "gpu",
    image: Annotated[str | None, typer.Option(help="Container image, best by digest.")] = None,
    gpu_image: Annotated[str | None, typer.Option(help="Image of the steps that train; by default --image.")] = None,
    fan_out: Annotated[
        bool,
        typer.Option(
            help="Decode each task's data in `shards` pods and merge; needs "
            "image_size. Any `shards` runs in either DAG, to the same datasets: "
            "without --fan-out one pod decodes all."
        ),
    ] = False,
    out: Out = Path("compiled"),
    list_profiles: Annotated[bool, typer.Option("--list-profiles", help="Print the profiles' names.")] = False,
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
        for tournament in (False, True):
            print(
                compile_pipeline(
                    name,
                    profile=profile,
                    out=out,
                    image=image,
                    training_image=gpu_image,
                    fan_out=fan_out,
                    tournament=tournament,
                )
            )
    if not pipelines:
        print(*compile_components(out / "components", image=image), sep="\n")


app.add_typer(steps)


# The released model


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Release folder or model.onnx.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Label images with a released model. Exit status 1 where a file could not be read."""
    import json as json_text

    from graftline.release.serving.predict import predict as answers

    unread = 0
    for answer in answers(_released(model), images):
        print(json_text.dumps(answer.as_dict()) if json else answer.as_line())
        unread += bool(answer.error)
    raise typer.Exit(1 if unread else 0)


@app.command()
def verify(release: Annotated[Path, typer.Argument(help="Release folder.")]) -> None:
    """Check that a release is whole, unedited, and still gives the outputs that were stored with it."""
    from graftline.release.artifact import verify as checks

    for check in checks(_released(release)):
        print(f"ok  {check}")


@app.command()
def formats() -> None:
    """List the formats of raw data that preprocess reads."""
    from graftline.data.formats import FORMATS

    for name, known in FORMATS.items():
        print(f"{name:<14} {known.what}")


@app.command()
def backbones() -> None:
    """List the backbones by name; with the extra `timm`, `timm/NAME` takes any of timm's as well."""
    from graftline.models.libraries.small_models import SMALL
    from graftline.models.libraries.torchvision_models import names

    print(*SMALL, *names(), sep="\n")


@app.command()
def doctor() -> None:
    """Say what is installed, what is reachable, and what is missing."""
    from graftline.cli.doctor import checks

    faults = 0
    for check in checks():
        print(f"{check.state:<8} {check.what}: {check.found}")
        faults += check.state == "missing"
    raise typer.Exit(1 if faults else 0)


def _released(place: Path) -> Path:
    """A run's folder stands for the release in it."""
    return place / "release" if (place / "release" / "model.onnx").is_file() else place


def _known(what: str, name: str, table: Any) -> None:
    if name not in table:
        raise RefusedError(f"{what} {name!r}: not known; there are {', '.join(table)}")


def _explain(config: Config) -> None:
    from graftline.report.run.config_yaml import to_yaml
    from graftline.selection.tournament.summary import told
    from graftline.steps.fingerprint import fingerprint

    jobs = fingerprint(config)
    print(to_yaml(config).rstrip())
    print(f"\ntarget {jobs.target.label}: {jobs.target.fingerprint}")
    for source in jobs.sources:
        print(f"source {source.pretrain.label}: {source.pretrain.init}, {source.preprocess.fingerprint or 'no data'}")
    if not config.races:
        print(
            "candidates:",
            ", ".join(f"{s.pretrain.label}-{strategy.name}" for s in jobs.sources for strategy in config.strategies),
            "and the control",
        )
        return
    print(*told(jobs.plan, [source.pretrain.label for source in jobs.sources]), sep="\n")
