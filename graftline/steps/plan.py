"""Source checkpoints and the target's size to a flat list of candidates, the controls among them."""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from graftline import dataset as datasets
from graftline import events, manifest
from graftline.checkpoint import CheckpointManifest
from graftline.dataset import Dataset
from graftline.errors import RefusedError
from graftline.jobs import Candidate, PlanJob
from graftline.manifest import canonical_json
from graftline.training import recipe

ENOUGH = 20
"""Validation images of the rarest class under which candidates are cross-validated."""
NEEDS_NO_SOURCE = ("structure",)
"""Strategies that make sense with a source of random weights."""


def plan(job: PlanJob, *, sources: list[Path], dataset: Path, out: Path) -> list[Candidate]:
    """Resolves every candidate's settings and gathers the source checkpoints in one folder.

    Args:
        job: Strategies and settings.
        sources: The source checkpoints.
        dataset: The target's dataset artifact.
        out: Becomes a folder with one checkpoint a source label, hard links where the file system allows.

    Returns:
        Candidates with distinct names: each source with each strategy, then one control for each distinct network.

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
            raise RefusedError(f"source {source.name}: {folder} has no weights, its training ended as "
                               f"{source.row.status!r}: {source.row.reason}")
        found[source.name] = source
        link(folder, out / source.name)
    transfers = [_transfer(job, source, strategy_number, data) for source in found.values()
                 for strategy_number in range(len(job.strategies)) if _applies(job, source, strategy_number)]
    if not transfers:
        raise RefusedError("source: random weights and no data, so there is nothing to transfer; give an init or data, "
                           f"or add 'structure' to the strategies (they are: {', '.join(_names(job))})")
    return _complete(job, list(found.values()), transfers, data)


def _names(job: PlanJob) -> list[str]:
    return [strategy.name for strategy in job.strategies]


def _check_label(label: str) -> None:
    if not label or label.startswith(".") or re.search(r"[/\\\x00-\x1f]", label):
        raise RefusedError(f"source.name: {label!r} cannot be a folder's name; expected one without slashes, control "
                           "characters or a leading dot")


def _applies(job: PlanJob, source: CheckpointManifest, number: int) -> bool:
    strategy = job.strategies[number].name
    if source.strategy != "random" or strategy in NEEDS_NO_SOURCE:
        return True
    events.log(f"{source.name}: {strategy}: not applicable, the source has random weights and no data")
    return False


def _transfer(job: PlanJob, source: CheckpointManifest, number: int, data: Dataset) -> Candidate:
    strategy = job.strategies[number]
    training = recipe.resolve(job.training, strategy, len(data.train), data.manifest.image_shape)
    return Candidate(name=_plain(f"{source.name}-{strategy.name}"), source=source.name, strategy=strategy,
                     head=job.head, training=training, control=job.control, longest=0, cross_validate=False,
                     seed=job.seed)


def _complete(job: PlanJob, sources: list[CheckpointManifest], transfers: list[Candidate],
              data: Dataset) -> list[Candidate]:
    images, shape = len(data.train), data.manifest.image_shape
    planned = [recipe.presentations(each.strategy, each.training, images) for each in transfers if each.strategy]
    # With `zero` alone nothing is shown; a control still has to be trained in earnest.
    longest = max(planned) or recipe.epochs(images) * images
    fewest = np.bincount(data.val.labels, minlength=len(data.manifest.classes)).min()
    crossed = bool(fewest < ENOUGH and len(transfers) > 1)
    used = [source for source in sources if source.name in {each.source for each in transfers}]
    networks = _distinct_networks(used)
    controls = [Candidate(name=_plain(f"{source.name}-control"), source=source.name, strategy=None, head=job.head,
                          training=recipe.control_training(job.training, longest, images, shape),
                          control=job.control, longest=longest, cross_validate=False, seed=job.seed)
                for source in networks.values()]
    every = _named_apart([*transfers, *controls])
    opponents = dict(zip(networks, (each.name for each in every[len(transfers):]), strict=True))
    keys = {source.name: network_key(source) for source in used}
    events.log(f"{len(transfers)} candidates, {len(controls)} controls of at least {longest} presentations; "
               + ("scored by cross-validation" if crossed else "scored on the validation split"))
    return [each.model_copy(update={"longest": longest, "cross_validate": crossed,
                                    "opponent": opponents[keys[each.source]]})
            for each in every[:len(transfers)]] + every[len(transfers):]


def _distinct_networks(sources: list[CheckpointManifest]) -> dict[str, CheckpointManifest]:
    first: dict[str, CheckpointManifest] = {}
    for source in sources:
        first.setdefault(network_key(source), source)
    return first


def network_key(source: CheckpointManifest) -> str:
    """Returns what two sources share where one control serves both: backbone, shape and what its input is made of."""
    contract = source.input.model_dump(mode="json", exclude={"stored"})
    return canonical_json([source.backbone, source.small.model_dump(mode="json"), source.architecture, contract])


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "candidate"


def _named_apart(candidates: list[Candidate]) -> list[Candidate]:
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
