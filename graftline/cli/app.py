"""The command line: pipelines, single steps, releases."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

import graftline
from graftline.cli.options import ConfigFile, Out, Set, load_config
from graftline.cli.steps import steps
from graftline.config import file
from graftline.runtime.errors import DivergedError, RefusedError

app = typer.Typer(
    help="Transfer learning as a Kubeflow pipeline: pretrain, fine-tune, test whether it helped, export, release.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Runs the command line; an error that the user can fix is printed in one message, with exit status 2."""
    try:
        app()
    except RefusedError as error:
        sys.exit(_print_error(error, 2))
    except DivergedError as error:
        sys.exit(_print_error(error, 1))


def _print_error(error: Exception, status: int) -> int:
    for line in str(error).splitlines():
        print(f"graftline: {line}", file=sys.stderr)
    return status


def _print_version(requested: bool) -> None:
    if requested:
        print(f"graftline {graftline.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Defines the option --version."""


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
            "--out",
            "-o",
            help="Folder for run.json, report.html, data.html, release/ and logs/; by default runs/<pipeline>.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Validate the config and the data, print the plan and exit.")
    ] = False,
) -> None:
    """Run a pipeline on this machine: the same DAG as on a cluster.

    Without --config, runs the embedded demo on handwritten digits, which needs no download. Completed steps are cached
    and interrupted training resumes; rerun the same command. Exit status: 0 succeeded, 1 a step failed, 2 the config or
    the data was refused.
    """
    from graftline.pipelines import PIPELINES
    from graftline.pipelines.local import run_folder
    from graftline.pipelines.local.run import run_local

    _require_known("pipeline", pipeline, PIPELINES)
    _require_known("runner", runner, ("subprocess", "docker"))
    out = out or Path("runs") / pipeline
    try:
        checked = file.absolute(load_config(config, set_))
    except RefusedError as error:
        if not dry_run:
            run_folder.write_refusal(out, pipeline=pipeline, message=str(error))
        raise
    if dry_run:
        from graftline.report.run.config_yaml import to_yaml

        print(to_yaml(checked).rstrip(), "", *PIPELINES[pipeline].describe(checked), sep="\n")
        return
    result = run_local(pipeline, checked, out=out, runner=runner, image=image)
    raise typer.Exit(result.exit_code)


@app.command()
def compile(
    pipelines: Annotated[
        list[str] | None, typer.Argument(help="Pipelines to compile; by default all of them, and the components.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Hardware for the training steps; see --list-profiles.")] = "gpu",
    image: Annotated[str | None, typer.Option(help="Container image, preferably with its digest.")] = None,
    gpu_image: Annotated[str | None, typer.Option(help="Image of the training steps; by default --image.")] = None,
    fan_out: Annotated[
        bool,
        typer.Option(
            help="Decode each task's data in `shards` pods in parallel and merge the results; needs image_size. "
            "Without it, one pod decodes all data; the datasets are the same."
        ),
    ] = False,
    out: Out = Path("compiled"),
    list_profiles: Annotated[
        bool, typer.Option("--list-profiles", help="Print the names of the profiles and exit.")
    ] = False,
) -> None:
    """Compile pipelines (and components) to KFP YAML."""
    from graftline.pipelines import PIPELINES
    from graftline.pipelines.cluster.compile import compile_components, compile_pipeline
    from graftline.pipelines.placement import PROFILES

    if list_profiles:
        print("\n".join(PROFILES))
        return
    _require_known("profile", profile, PROFILES)
    for name in pipelines or PIPELINES:
        _require_known("pipeline", name, PIPELINES)
        for variant in PIPELINES[name].variants:
            if variant.fan_out == fan_out:
                path = compile_pipeline(
                    name, profile=profile, out=out, image=image, training_image=gpu_image, variant=variant
                )
                print(path)
    if not pipelines:
        print(*compile_components(out / "components", image=image), sep="\n")


app.add_typer(steps)


# The released model


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Release folder or model.onnx.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders of images.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Predict the labels of images with a released model. Exit status: 1 if a file could not be read."""
    import json as json_text

    from graftline.release.serving.predict import predict as predictions

    n_unread = 0
    for prediction in predictions(_release_in(model), images):
        print(json_text.dumps(prediction.as_dict()) if json else prediction.as_line())
        n_unread += bool(prediction.error)
    raise typer.Exit(1 if n_unread else 0)


@app.command()
def verify(release: Annotated[Path, typer.Argument(help="Release folder.")]) -> None:
    """Check that a release is complete and unchanged, and still gives the outputs stored with it."""
    from graftline.release.artifact import verify as checks

    for check in checks(_release_in(release)):
        print(f"ok  {check}")


@app.command()
def formats() -> None:
    """List the formats of raw data that `graftline preprocess` reads."""
    from graftline.data.formats import FORMATS

    for name, known in FORMATS.items():
        print(f"{name:<14} {known.summary}")


@app.command()
def backbones() -> None:
    """List the names of the backbones; with the extra `timm`, `timm/NAME` selects any model of timm."""
    from graftline.models.libraries.small_models import SMALL
    from graftline.models.libraries.torchvision_models import names

    print(*SMALL, *names(), sep="\n")


@app.command()
def doctor() -> None:
    """Check what is installed, reachable and missing."""
    from graftline.cli.doctor import checks

    n_missing = 0
    for check in checks():
        print(f"{check.state:<8} {check.subject}: {check.result}")
        n_missing += check.state == "missing"
    raise typer.Exit(1 if n_missing else 0)


def _release_in(path: Path) -> Path:
    """Returns the release of a run's folder; any other path unchanged."""
    return path / "release" if (path / "release" / "model.onnx").is_file() else path


def _require_known(kind: str, name: str, table: Collection[str]) -> None:
    if name not in table:
        raise RefusedError(f"{kind} {name!r} is not one of {', '.join(table)}")
