"""Runs one step for a command."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graftline.runtime.errors import RefusedError


@contextmanager
def sources_folder(sources: list[Path]) -> Iterator[Path]:
    """Returns a temporary folder of source checkpoints, as the step `plan` writes it."""
    from graftline.models.checkpoint import CheckpointManifest
    from graftline.runtime import manifest
    from graftline.runtime.links import link_folder

    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            link_folder(source, Path(folder) / manifest.read(source, CheckpointManifest).name)
        yield Path(folder)


def run_step(name: str, function: Any, job: Any, *, out: Path, **paths: Path | list[Path] | None) -> Any:
    """Runs a step that writes to a new or empty folder, and prints its progress.

    Args:
        name: The step's name for progress and log.
        function: The step, called as `function(job, out=out, **paths)`.
        job: The step's job.
        out: The folder to write.
        **paths: Artifacts to read.

    Returns:
        What the step returns.

    Raises:
        RefusedError: The folder is not empty or cannot be created, or the step refuses its input.
    """
    from graftline.runtime import events
    from graftline.runtime.cache_location import keeping_states

    if out.is_file():
        raise RefusedError(f"--out {out}: is a file; give a new folder")
    if out.exists() and any(out.iterdir()):
        raise RefusedError(f"--out {out}: not empty; give a new folder, or remove it first")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"--out {out}: cannot be created ({error.strerror}); give another folder") from None
    with keeping_states(), events.step(name):
        try:
            return function(job, out=out, **paths)
        except RefusedError:
            shutil.rmtree(out)  # it is incomplete, and the next try needs a new folder
            raise


def print_training(out: Path, row: Any) -> None:
    """Prints the result of a training in one line."""
    score = (
        f", validation accuracy {row.val_accuracy:.3f}"
        if row.val_accuracy is not None
        else f", validation score {row.val_score:.3f}"
        if row.val_score is not None
        else ""
    )
    print(
        f"{out}: {row.status}{score}, {row.examples_seen:,} examples seen in {row.train_seconds:.1f} s"
        + (f"; {row.reason}" if row.reason else "")
    )
