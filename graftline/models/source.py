"""Initial weights of a source: random, published by a library, from a state dict file or from a checkpoint."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from graftline.config import Head
from graftline.config.jobs import PretrainJob
from graftline.data.dataset import DatasetManifest
from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import (
    GROWN,
    SMALLEST,
    at_resolution,
    contract_for,
    for_images,
    growth,
    native_least,
    native_statistics,
)
from graftline.models.libraries import published, timm_models
from graftline.models.libraries.library import library_of
from graftline.models.libraries.shapes import Unfilled
from graftline.models.libraries.small_models import SMALL
from graftline.models.libraries.source_classes import class_names, name_files
from graftline.models.libraries.weights import StateDict, read_state
from graftline.models.loading import load_checkpoint
from graftline.models.network import Network, build_network
from graftline.models.objective import Objective
from graftline.models.spec import NetworkSpec
from graftline.models.transfer import keys
from graftline.models.transfer.gate import Transferred, transfer
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text
from graftline.storage.access import exists, local


@dataclass(frozen=True)
class InitialWeights:
    """A network with initial weights, its description and its origin."""

    network: Network
    """The network in eval mode, on the CPU."""
    spec: NetworkSpec
    licence: str
    reinitialised: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    parent: str | None = None
    notes: list[str] = field(default_factory=list)
    """Messages for the result row about the decisions made while loading."""


def load_initial_weights(job: PretrainJob, dataset: DatasetManifest, *, cache: Path | None = None) -> InitialWeights:
    """Builds the network of a source and loads its initial weights; `job.seed` seeds random weights.

    If the dataset has data, the network has a head for its classes. The head is new unless the loaded weights have
    the same classes and the same objective. If the dataset is empty, the network keeps the head of the loaded weights.

    Args:
        job: The pretraining job. `init` is `random`, `DEFAULT`, or the path or gs:// URI of a state dict file or a
            graftline checkpoint.
        dataset: The source's dataset, which may be empty. It provides the shape of the images and, for new networks,
            mean and std.
        cache: The directory for downloads from gs://.

    Raises:
        RefusedError: The weights are missing, unreachable or unreadable, or belong to another backbone.
    """
    if job.backbone not in SMALL:
        library_of(job.backbone).check_name(job.backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        start = _start(job, dataset, cache)
        if not dataset.is_empty and (start.spec.classes, start.network.objective) != (
            dataset.classes,
            Objective.of(dataset),
        ):
            start = _for_classes(start, dataset, job.head)
    start.network.eval()
    return start


def _start(job: PretrainJob, dataset: DatasetManifest, cache: Path | None) -> InitialWeights:
    if job.init == "random":
        contract = _contract(job, dataset, native=False)
        objective = Objective() if dataset.is_empty else Objective.of(dataset)
        spec = _spec(job, contract, [] if dataset.is_empty else dataset.classes).replace(task=objective.task)
        network = build_network(spec, objective)
        return InitialWeights(network, spec, "none: random weights", reinitialised=list(network.state_dict()))
    if job.init == "DEFAULT":
        if job.backbone in SMALL:
            raise RefusedError(
                f"source.init: DEFAULT, but there are no published weights of {job.backbone}; "
                "expected random, a state dict file or a graftline checkpoint"
            )
        state, licence = published.default_state(job.backbone), published.default_licence(job.backbone)
        return _from_state(job, dataset, state, licence, None)
    path = _fetched(job.init, cache)
    if path.is_dir():
        return _from_checkpoint(job, dataset, path)
    licence = f"not known: given as {Path(job.init).name}"
    try:
        return _from_state(job, dataset, read_state(path), licence, path)
    except RefusedError as error:
        raise RefusedError(f"source.init: {job.init}: {error}") from None


def _from_state(
    job: PretrainJob, dataset: DatasetManifest, state: StateDict, licence: str, path: Path | None
) -> InitialWeights:
    native = job.backbone not in SMALL
    contract = _contract(job, dataset, native=native)
    # A head that does not fit is no error, because only the backbone is transferred.
    kinds = [False] if job.backbone in SMALL else [True, False]
    fits = ((kind, outputs) for kind in kinds if (outputs := _outputs(job, contract, state, source_head=kind)))
    source_head, outputs = next(fits, (False, 0))
    spec = _spec(job, contract, _unnamed(outputs), source_head=source_head)
    network = build_network(spec)
    named = keys.ours(state, network)
    done = _carried(job, named, network, contract, head=outputs > 0)
    notes = list(done.notes)
    if timm_models.is_timm(job.backbone):
        notes += [*timm_models.resized(state, named), *timm_models.settings_note(job.backbone)]
        licence = "; ".join(filter(None, [licence, timm_models.licence(job.backbone)]))
    classes: list[str] = []
    if outputs and path is None:
        classes = published.default_classes(job.backbone)
    elif outputs and path is not None:
        classes, note = class_names(path, outputs, job.backbone)
        notes.append(note)
    notes += _on_input(job, contract, native_least(job.backbone) if native else SMALLEST)
    return InitialWeights(
        network,
        spec.replace(classes=classes),
        licence,
        reinitialised=done.reinitialised,
        dropped=done.dropped,
        notes=notes,
    )


def _carried(
    job: PretrainJob, state: StateDict, network: Network, contract: InputContract, *, head: bool
) -> Transferred:
    try:
        return transfer(state, network, head=head)
    except RefusedError as error:
        another = any(key not in state for key in network.state_dict() if key.startswith("backbone."))
        if another or job.backbone in SMALL:
            raise
        if contract.height == (side := library_of(job.backbone).native_side(job.backbone)):
            raise
        # Some networks have weights for each position in the image that cannot be resized.
        raise RefusedError(f"{error}, or set pretrain.resolution to {side}, the size they were made on") from None


def _outputs(job: PretrainJob, contract: InputContract, state: StateDict, *, source_head: bool) -> int:
    # Returns the number of outputs of the state dict's head, 0 if it does not have the head of this architecture.
    def shapes(classes: int) -> Network:
        with Unfilled():
            return build_network(_spec(job, contract, _unnamed(classes), source_head=source_head))

    two = shapes(2)
    named = keys.ours(state, two)
    last = [key for key in two.state_dict() if key.startswith("head.") and key.endswith("weight")][-1]
    if last not in named or named[last].dim() == 0:
        return 0
    outputs = int(named[last].shape[0])
    wanted = {key: value.shape for key, value in shapes(outputs).state_dict().items() if key.startswith("head.")}
    return outputs if all(key in named and named[key].shape == shape for key, shape in wanted.items()) else 0


def _from_checkpoint(job: PretrainJob, dataset: DatasetManifest, folder: Path) -> InitialWeights:
    parent, manifest = load_checkpoint(folder)
    if manifest.backbone != job.backbone:
        raise RefusedError(
            f"source.init: {job.init} is a {manifest.backbone}, the run's backbone is {job.backbone}; "
            f"set backbone: {manifest.backbone}"
        )
    contract, least = for_images(manifest.input, dataset.image_shape), SMALLEST
    if manifest.backbone not in SMALL:
        least = max(SMALLEST, min(GROWN, contract.height, contract.width))
        contract = contract_for(
            manifest.backbone, stored=dataset.image_shape, mean=contract.mean, std=contract.std, least=least
        )
    if job.training.resolution:
        contract = at_resolution(contract, manifest.backbone, job.training.resolution)
    spec = manifest.spec.replace(input=contract, mapped_from=None)
    network = build_network(spec, parent.objective)
    done = transfer(parent.state_dict(), network, head=True)
    return InitialWeights(
        network,
        spec,
        manifest.licence,
        parent=manifest.digest,
        notes=[*done.notes, *_on_input(job, contract, least)],
    )


def _fetched(place: str, cache: Path | None) -> Path:
    # Files with class names are downloaded from a bucket too. Each prefix has its own directory in the cache.
    if not place.startswith("gs://") or cache is None:
        return local(place, cache)
    prefix, _, name = place.rstrip("/").rpartition("/")
    folder = cache / digest_text(prefix).removeprefix("sha256:")[:16]
    for beside in name_files(name):
        if exists(f"{prefix}/{beside}"):
            local(f"{prefix}/{beside}", folder)
    return local(place, folder)


def _for_classes(start: InitialWeights, dataset: DatasetManifest, head: Head) -> InitialWeights:
    objective = Objective.of(dataset)
    spec = start.spec.replace(classes=dataset.classes, task=objective.task, head=head, source_head=False)
    network = build_network(spec, objective)
    done = transfer(start.network.state_dict(), network)
    return replace(
        start,
        network=network,
        spec=spec,
        reinitialised=done.reinitialised,
        dropped=[*start.dropped, *done.dropped],
    )


def _spec(job: PretrainJob, contract: InputContract, classes: list[str], *, source_head: bool = False) -> NetworkSpec:
    return NetworkSpec(
        backbone=job.backbone,
        input=contract,
        classes=classes,
        small=job.small,
        head=job.head,
        source_head=source_head,
    )


def _unnamed(count: int) -> list[str]:
    return [f"output {number}" for number in range(count)]


def _contract(job: PretrainJob, dataset: DatasetManifest, *, native: bool) -> InputContract:
    mean, std = (dataset.mean, dataset.std) if dataset.mean and dataset.std else ([0.5], [0.25])
    least = SMALLEST
    if native:
        mean, std = native_statistics(job.backbone)
        least = native_least(job.backbone)
    # Images of a single color have a standard deviation of 0, which cannot be a divisor.
    contract = contract_for(
        job.backbone,
        stored=dataset.image_shape,
        mean=mean,
        std=[max(s, 1e-3) for s in std],
        channels=dataset.target_channels,
        least=least,
    )
    side = job.training.resolution
    return contract if side is None else at_resolution(contract, job.backbone, side, drawn=True)


def _on_input(job: PretrainJob, contract: InputContract, least: int) -> list[str]:
    return growth(contract, least) if job.training.resolution is None else []
