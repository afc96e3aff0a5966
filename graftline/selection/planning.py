"""Plans the candidates: each source with each strategy, and a control for each distinct network."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from graftline.config import DEFAULT_TASK, StrategyChoice, StrategyOptions, without_auto
from graftline.config.jobs import FinetuneJob, PlanJob, RaceJob
from graftline.data.dataset import Dataset
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.models.checkpoint import CheckpointManifest
from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json
from graftline.selection.tournament.entrants import enter, source_properties
from graftline.selection.tournament.pool import PoolEntry
from graftline.strategies import STRATEGIES
from graftline.strategies.lookup import profile_of, resolve, shape_for
from graftline.training import recipe
from graftline.training.shape import Shape, shape_of

MIN_CLASS_COUNT = 20
"""Minimum number of validation images of the rarest class or label; with fewer, candidates are cross-validated."""
MIN_VALUES = 100
"""Minimum total number of validation images for regression; with fewer, candidates are cross-validated."""


@dataclass(frozen=True)
class Planned:
    """Candidates to train on the target."""

    candidates: list[FinetuneJob]
    """Each source with each strategy, then one control per distinct network; in a tournament, the first rung only."""
    race: RaceJob
    """Job of the later rungs; `sizes` is empty if there is no tournament."""


def plan_candidates(
    job: PlanJob, sources: Mapping[str, CheckpointManifest], data: Dataset, checkpoints: Path
) -> Planned:
    """Returns the candidates with their resolved settings.

    Args:
        job: Job with the strategies and the settings.
        sources: Manifests of the source checkpoints, by label.
        data: Dataset of the target.
        checkpoints: Folder with one source checkpoint per label.

    Returns:
        Candidates with distinct names. In a tournament, the candidates pause at the end of the first rung, and the
        controls are in `race`.

    Raises:
        RefusedError: No candidate applies to any source, or the tournament's budget is too small.
    """
    race = RaceJob(images=len(data.train))
    if job.budget is None:
        transfers = [
            _transfer(job, source, choice, data)
            for source in sources.values()
            for choice in map(resolve, without_auto(job.strategies))
            if _applies(source, choice)
        ]
    else:
        transfers, race = _first_rung(job, sources, data, checkpoints)
    if not transfers:
        usable = [strategy.name for strategy in STRATEGIES.values() if not _needs_weights(strategy.name)]
        raise RefusedError(
            "source: random weights and no data, so there is nothing to transfer; give an init or data, or add "
            f"{' or '.join(repr(name) for name in usable if not STRATEGIES[name].is_control)} to the strategies "
            f"(they are: {', '.join(choice.name for choice in job.strategies)})"
        )
    planned = [
        candidate.model_copy(update={"checkpoint_uri": job.checkpoint_uri})
        for candidate in _with_controls(job, sources, transfers, data)
    ]
    if job.budget is None:
        return Planned(planned, race)
    first, controls = planned[: len(transfers)], planned[len(transfers) :]
    return Planned(
        [
            candidate.model_copy(
                update={
                    "cross_validate": candidate.cross_validate
                    and not STRATEGIES[candidate.strategy_name].trains_network
                }
            )
            for candidate in first
        ],
        race.model_copy(update={"controls": controls, "cross_validate": first[0].cross_validate}),
    )


def _first_rung(
    job: PlanJob, sources: Mapping[str, CheckpointManifest], data: Dataset, checkpoints: Path
) -> tuple[list[FinetuneJob], RaceJob]:
    """Returns the candidates of a tournament's first rung and the job of the later rungs.

    Raises:
        RefusedError: There are no validation images, or the budget is too small.
    """
    if not len(data.val):
        raise RefusedError(
            f"budget: {data.manifest.label} has no validation images, so no tournament can be judged; "
            "list strategies and give no budget: they are scored by cross-validation"
        )
    task, classes = data.manifest.task, data.manifest.classes
    properties = {
        label: source_properties(source, checkpoints / label, classes, DEFAULT_TASK if task == UNLABELED else task)
        for label, source in sources.items()
    }
    if job.training.resolution is not None:
        properties = {label: replace(source, side=0) for label, source in properties.items()}

    def make(label: str, entry: PoolEntry) -> FinetuneJob | None:
        if not _applies(sources[label], entry.choice):
            return None
        rate_factor = job.training.rate_factor * entry.variant.rate_factor
        training = job.training.model_copy(update={"rate_factor": rate_factor})
        return _transfer(
            job.model_copy(update={"training": training}),
            sources[label],
            entry.choice,
            data,
            side=entry.side(properties[label].side),
        )

    return enter(job, properties, make, images=len(data.train))


def _needs_weights(strategy: str) -> bool:
    return STRATEGIES[strategy].uses_source_weights


def _applies(source: CheckpointManifest, choice: StrategyChoice) -> bool:
    if source.strategy != "random" or not _needs_weights(choice.name):
        return True
    events.log(f"{source.name}: {choice.name}: not applicable, the source has random weights and no data")
    return False


def _transfer(
    job: PlanJob, source: CheckpointManifest, choice: StrategyOptions, data: Dataset, side: int = 0
) -> FinetuneJob:
    training, why = recipe.resolve(
        job.training, profile_of(choice), _recipe_input(source, shape_of(source), data, side)
    )
    return FinetuneJob(
        name=_file_name(f"{source.name}-{choice.name}"),
        source=source.name,
        strategy=choice,
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
    """Returns the control that has the network and the resolution of a candidate."""
    side = candidate.training.resolution or 0
    facts = _recipe_input(source, _shape(candidate, source), data, side)
    training, why = recipe.control_training(job.training, longest, facts)
    student = candidate.strategy if STRATEGIES[candidate.strategy_name].network else None
    size = "" if side in (0, job.training.resolution, _side(source)) else f"-{side}px"
    return FinetuneJob(
        name=_file_name(f"{source.name}{'-student' * bool(student)}-control{size}"),
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


def _shape(candidate: FinetuneJob, source: CheckpointManifest) -> Shape:
    return shape_of(source) if candidate.strategy is None else shape_for(source, candidate.strategy)


def _recipe_input(source: CheckpointManifest, shape: Shape, data: Dataset, side: int) -> recipe.RecipeInput:
    facts = recipe.recipe_input(data, shape.backbone, source.input, carried=source.strategy != "random")
    return replace(facts, side=side or facts.side)


def _side(source: CheckpointManifest) -> int:
    return min(source.input.height, source.input.width)


def _with_controls(
    job: PlanJob, sources: Mapping[str, CheckpointManifest], transfers: list[FinetuneJob], data: Dataset
) -> list[FinetuneJob]:
    """Returns the candidates and one control per distinct network; controls train as long as the longest candidate."""
    images = len(data.train)
    planned = [
        recipe.examples_seen(profile_of(candidate.strategy), candidate.training, images)
        for candidate in transfers
        if candidate.strategy
    ]
    # Candidates that need no training see no images, but the control must be trained.
    longest = max(planned) or recipe.epochs(images) * images
    is_crossed = _is_small(data) and len(transfers) > 1
    keys = [_network_key(candidate, sources[candidate.source]) for candidate in transfers]
    first = dict(zip(reversed(keys), reversed(transfers), strict=True))
    networks = {key: first[key] for key in keys}
    controls = [_control(job, candidate, sources[candidate.source], longest, data) for candidate in networks.values()]
    named = _with_distinct_names([*transfers, *controls])
    control_names = dict(zip(networks, (control.name for control in named[len(transfers) :]), strict=True))
    events.log(
        f"{len(transfers)} candidates, {len(controls)} controls of at least {longest} training images seen; "
        + ("scored by cross-validation" if is_crossed else "scored on the validation split")
    )
    return [
        candidate.model_copy(update={"longest": longest, "cross_validate": is_crossed, "opponent": control_names[key]})
        for candidate, key in zip(named, keys, strict=False)
    ] + named[len(transfers) :]


def _is_small(data: Dataset) -> bool:
    """Returns whether the validation split is too small to select a candidate."""
    label_type = LABEL_TYPES[data.manifest.task]
    if label_type.is_numeric:
        return len(data.val) < MIN_VALUES
    labels = data.val.labels
    counts = labels.sum(0) if label_type.is_multi_hot else np.bincount(labels, minlength=len(data.manifest.classes))
    return bool(counts.min() < MIN_CLASS_COUNT)


def _network_key(candidate: FinetuneJob, source: CheckpointManifest) -> str:
    """Returns a key of the network and its input; candidates with equal keys share a control."""
    shape = _shape(candidate, source)
    return canonical_json(
        [
            shape.backbone,
            shape.small.model_dump(mode="json"),
            shape.architecture,
            source.input.model_dump(mode="json", exclude={"stored"}),
            candidate.training.resolution or _side(source),
        ]
    )


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "candidate"


def _with_distinct_names(candidates: list[FinetuneJob]) -> list[FinetuneJob]:
    taken: Counter[str] = Counter()
    distinct = []
    for candidate in candidates:
        name = candidate.name
        while taken[name]:
            taken[candidate.name] += 1
            name = f"{candidate.name}-{taken[candidate.name]}"
        taken[name] += 1
        distinct.append(candidate.model_copy(update={"name": name}))
    return distinct
