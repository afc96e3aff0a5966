"""Plans the candidates and their controls from the source checkpoints and the size of the target."""

import re
from pathlib import Path

from graftline.config.jobs import PlanJob
from graftline.data import dataset as datasets
from graftline.models.checkpoint import CheckpointManifest
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.links import link_folder
from graftline.selection.planning import Planned, plan_candidates


def plan(job: PlanJob, *, sources: list[Path], dataset: Path, out: Path) -> Planned:
    """Resolves the settings of each candidate and collects the source checkpoints in one folder.

    Args:
        job: The plan job, with the strategies and their settings.
        sources: The source checkpoints.
        dataset: The target's dataset artifact.
        out: Folder for one checkpoint per source label, hard-linked if the file system supports it.

    Returns:
        The candidates, with unique names. In a tournament, candidates pause at the end of the first rung, and `race`
        contains the controls.

    Raises:
        RefusedError: There is nothing to transfer, there are no training images, a source has no weights, or a label is
            not a valid file name.
    """
    data = datasets.read(dataset)
    if not len(data.train):
        raise RefusedError(f"target.data: {data.manifest.label} has no training images; expected at least one a class")
    by_label = {}
    for folder in sources:
        source = manifest.read(folder, CheckpointManifest)
        _check(source, folder)
        by_label[source.name] = source
        link_folder(folder, out / source.name)
    return plan_candidates(job, by_label, data, out)


def _check(source: CheckpointManifest, folder: Path) -> None:
    if not source.name or source.name.startswith(".") or re.search(r"[/\\\x00-\x1f]", source.name):
        raise RefusedError(
            f"source.name: {source.name!r} is not a valid folder name; expected one without slashes, control "
            "characters or a leading dot"
        )
    if source.row.status != "ok":
        raise RefusedError(
            f"source {source.name}: {folder} has no weights, its training ended as "
            f"{source.row.status!r}: {source.row.reason}"
        )
