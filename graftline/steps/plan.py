"""Source checkpoints and the target's size to a flat list of candidates, the controls among them."""

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from graftline.config import DEFAULT_TASK, Feature, Strategy, Zero, named
from graftline.config.jobs import FinetuneJob, PlanJob, RaceJob
from graftline.config.strategies import Distill
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.models.checkpoint import CheckpointManifest
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json
from graftline.selection.tournament.entrants import enter, traits
from graftline.selection.tournament.pool import PoolEntry
from graftline.training import recipe
from graftline.training.recipe.student import shape_of

ENOUGH = 20
"""Validation images of the rarest class, or with the rarest label, under which candidates are cross-validated."""
ENOUGH_NUMBERS = 100
"""The same for numbers: validation images in all."""
NEEDS_NO_SOURCE = ("structure",)
"""Strategies that make sense with a source of random weights."""
CHEAP = Zero | Feature
"""Options of strategies that run whole in a tournament's first rung: they train no network."""


@dataclass(frozen=True)
class Planned:
    """What is to be trained on the target."""

    candidates: list[FinetuneJob]
    """Each source with each strategy, then one control for each distinct network; of a tournament, the first rung."""
    race: RaceJob
    """Of the later rungs; without sizes where nothing races."""


def plan(job: PlanJob, *, sources: list[Path], dataset: Path, out: Path) -> Planned:
    """Resolves every candidate's settings and gathers the source checkpoints in one folder.

    Args:
        job: Strategies and settings.
        sources: The source checkpoints.
        dataset: The target's dataset artifact.
        out: Becomes a folder with one checkpoint a source label, hard links where the file system allows.

    Returns:
        Candidates with distinct names. Those of a tournament's first rung pause at its end; its controls are in `race`.

    Raises:
        RefusedError: Nothing to transfer, no training images, or a label that is no file name.
    """
    data = datasets.read(dataset)
    if not len(data.train):
        raise RefusedError(f"target.data: {data.manifest.label} has no training images; expected at least one a class")
    found = {}
    for folder in sources:
        source = manifest.read(folder, CheckpointManifest)
        _check_label(source.name)
        if source.row.status != "ok":
            raise RefusedError(
                f"source {source.name}: {folder} has no weights, its training ended as "
                f"{source.row.status!r}: {source.row.reason}"
            )
        found[source.name] = source
        link(folder, out / source.name)
    race = RaceJob(images=len(data.train))
    if job.budget is None:
        transfers = [
            _transfer(job, source, strategy, data)
            for source in found.values()
            for strategy in named(job.strategies)
            if _applies(source, strategy)
        ]
    else:
        transfers, race = _first_rung(job, found, data, out)
    if not transfers:
        raise RefusedError(
            "source: random weights and no data, so there is nothing to transfer; give an init or data, "
            f"or add 'structure' to the strategies (they are: {', '.join(_names(job))})"
        )
    every = [
        each.model_copy(update={"checkpoint_uri": job.checkpoint_uri})
        for each in _complete(job, list(found.values()), transfers, data)
    ]
    if job.budget is None:
        return Planned(every, race)
    first, controls = every[: len(transfers)], every[len(transfers) :]
    return Planned(
        [
            each.model_copy(update={"cross_validate": each.cross_validate and isinstance(each.strategy, CHEAP)})
            for each in first
        ],
        race.model_copy(update={"controls": controls, "cross_validate": first[0].cross_validate}),
    )


def _first_rung(
    job: PlanJob, found: dict[str, CheckpointManifest], data: Dataset, out: Path
) -> tuple[list[FinetuneJob], RaceJob]:
    """Raises RefusedError where there is nothing to race by, or the budget is too small."""
    if not len(data.val):
        raise RefusedError(
            f"budget: {data.manifest.label} has no validation images, so no tournament can be judged; "
            "list strategies and give no budget: they are scored by cross-validation"
        )
    task, classes = data.manifest.task, data.manifest.classes
    can = {
        label: traits(source, out / label, classes, DEFAULT_TASK if task == UNLABELED else task)
        for label, source in found.items()
    }
    if job.training.resolution is not None:
        can = {label: replace(each, side=0) for label, each in can.items()}

    def make(label: str, kind: PoolEntry) -> FinetuneJob | None:
        if not _applies(found[label], kind.strategy):
            return None
        training = job.training.model_copy(update={"rate_factor": job.training.rate_factor * kind.factor})
        return _transfer(
            job.model_copy(update={"training": training}),
            found[label],
            kind.strategy,
            data,
            side=kind.side(can[label].side),
        )

    return enter(job, can, make, images=len(data.train))


def _names(job: PlanJob) -> list[str]:
    return [strategy.name for strategy in job.strategies]


def _check_label(label: str) -> None:
    if not label or label.startswith(".") or re.search(r"[/\\\x00-\x1f]", label):
        raise RefusedError(
            f"source.name: {label!r} cannot be a folder's name; expected one without slashes, control "
            "characters or a leading dot"
        )


def _applies(source: CheckpointManifest, strategy: Strategy) -> bool:
    if source.strategy != "random" or strategy.name in NEEDS_NO_SOURCE:
        return True
    events.log(f"{source.name}: {strategy.name}: not applicable, the source has random weights and no data")
    return False


def _transfer(
    job: PlanJob, source: CheckpointManifest, strategy: Strategy, data: Dataset, side: int = 0
) -> FinetuneJob:
    training, why = recipe.resolve(job.training, strategy, _facts(source, data, side=side))
    return FinetuneJob(
        name=_plain(f"{source.name}-{strategy.name}"),
        source=source.name,
        strategy=strategy,
        head=job.head,
        training=training,
        recipe=why,
        control=job.control,
        longest=0,
        cross_validate=False,
        seed=job.seed,
    )


def _control(
    job: PlanJob, candidate: FinetuneJob, source: CheckpointManifest, longest: int, data: Dataset
) -> FinetuneJob:
    student, side = _student(candidate), candidate.training.resolution or 0
    training, why = recipe.control_training(job.training, longest, _facts(source, data, student, side))
    size = "" if side in (0, job.training.resolution, _side(source)) else f"-{side}px"
    return FinetuneJob(
        name=_plain(f"{source.name}{'-student' * bool(student)}-control{size}"),
        source=source.name,
        strategy=None,
        student=student,
        head=job.head,
        training=training,
        recipe=why,
        control=job.control,
        longest=longest,
        cross_validate=False,
        seed=job.seed,
    )


def _facts(
    source: CheckpointManifest, data: Dataset, student: Distill | None = None, side: int = 0
) -> recipe.RecipeInput:
    found = recipe.recipe_input(
        data, shape_of(source, student).backbone, source.input, carried=source.strategy != "random"
    )
    return replace(found, side=side or found.side)


def _side(source: CheckpointManifest) -> int:
    return min(source.input.height, source.input.width)


def _complete(
    job: PlanJob, sources: list[CheckpointManifest], transfers: list[FinetuneJob], data: Dataset
) -> list[FinetuneJob]:
    images = len(data.train)
    planned = [recipe.examples_seen(each.strategy, each.training, images) for each in transfers if each.strategy]
    # With `zero` alone nothing is shown; a control still has to be trained in earnest.
    longest = max(planned) or recipe.epochs(images) * images
    crossed = _is_small(data) and len(transfers) > 1
    keys = [_key_of(each, sources) for each in transfers]
    first = dict(zip(reversed(keys), reversed(transfers), strict=True))
    networks = {key: first[key] for key in keys}
    by_name = {source.name: source for source in sources}
    controls = [_control(job, each, by_name[each.source], longest, data) for each in networks.values()]
    every = _named_apart([*transfers, *controls])
    opponents = dict(zip(networks, (each.name for each in every[len(transfers) :]), strict=True))
    events.log(
        f"{len(transfers)} candidates, {len(controls)} controls of at least {longest} presentations; "
        + ("scored by cross-validation" if crossed else "scored on the validation split")
    )
    return [
        each.model_copy(update={"longest": longest, "cross_validate": crossed, "opponent": opponents[key]})
        for each, key in zip(every, keys, strict=False)
    ] + every[len(transfers) :]


def _is_small(data: Dataset) -> bool:
    """Whether the validation split is too small to choose by."""
    label_type = LABEL_TYPES[data.manifest.task]
    if label_type.is_numeric:
        return len(data.val) < ENOUGH_NUMBERS
    labels = data.val.labels
    counts = labels.sum(0) if label_type.is_multi_hot else np.bincount(labels, minlength=len(data.manifest.classes))
    return bool(counts.min() < ENOUGH)


def _student(candidate: FinetuneJob) -> Distill | None:
    return candidate.strategy if isinstance(candidate.strategy, Distill) else None


def _key_of(candidate: FinetuneJob, sources: list[CheckpointManifest]) -> str:
    """Returns what candidates share where one control serves both: the network's shape, what its input is made of."""
    source = next(each for each in sources if each.name == candidate.source)
    contract = source.input.model_dump(mode="json", exclude={"stored"})
    shape = shape_of(source, _student(candidate))
    return canonical_json(
        [
            shape.backbone,
            shape.small.model_dump(mode="json"),
            shape.architecture,
            contract,
            candidate.training.resolution or _side(source),
        ]
    )


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "candidate"


def _named_apart(candidates: list[FinetuneJob]) -> list[FinetuneJob]:
    taken: Counter[str] = Counter()
    apart = []
    for each in candidates:
        name = each.name
        while taken[name]:
            taken[each.name] += 1
            name = f"{each.name}-{taken[each.name]}"
        taken[name] += 1
        apart.append(each.model_copy(update={"name": name}))
    return apart


def link(folder: Path, to: Path) -> None:
    """Makes a checkpoint folder appear at another place: hard links, or copies where links cannot be made."""
    if to.exists():
        shutil.rmtree(to)
    try:
        shutil.copytree(folder, to, copy_function=os.link)
    except OSError:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(folder, to)
