"""The checkpoint artifact: weights as safetensors and the manifest that rebuilds the network around them.

Reading a manifest needs no torch; reading weights does.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from graftline.config import DEFAULT_TASK, Head, Small
from graftline.data.labels import known_task
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import NAME, Manifest, digest_file, read
from graftline.runtime.manifest import write as write_manifest

if TYPE_CHECKING:
    from graftline.models.network import Network

WEIGHTS = "weights.safetensors"


class InputContract(BaseModel):
    """What stands between a stored image and the network's first layer; done on whole batches, on the device.

    A stored uint8 (C, H, W) image becomes float in 0..1, grows or shrinks to `channels` (grey repeated, colour to
    luminance), is resized to `height` x `width` where it differs (bilinear, antialiased), then (x - mean) / std.
    """

    model_config = ConfigDict(frozen=True)

    stored: tuple[int, int, int]
    """(C, H, W) of the images as they come."""
    channels: int
    height: int
    width: int
    mean: list[float]
    std: list[float]


class EpochRecord(BaseModel):
    """One point of a learning curve."""

    stage: str = ""
    epoch: int
    train_loss: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_score: float | None = None
    """Main metric."""
    learning_rate: float | None = None
    seconds: float = 0.0
    examples_seen: int = Field(0, validation_alias=AliasChoices("examples_seen", "presentations"))
    """Images shown so far."""


class CandidateResult(BaseModel):
    """What a training amounts to: its line in `run.json`."""

    source: str = ""
    strategy: str = ""
    status: str = "ok"
    """ok, diverged, oom, refused, skipped or 'not applicable'."""
    reason: str = ""
    val_accuracy: float | None = None
    val_score: float | None = None
    """Main metric on validation, higher is better: balanced accuracy; regression: minus the mean over outputs of RMSE
    over the output's deviation; multilabel: macro average precision."""
    val_score_se: float | None = None
    """Its standard error."""
    val_method: str = ""
    """'validation split' or '2 x 5-fold over train + validation'."""
    train_seconds: float = 0.0
    examples_seen: int = Field(0, validation_alias=AliasChoices("examples_seen", "presentations"))
    """Images that entered a gradient of the model that was kept, each time counted."""
    trained_parameters: int = 0
    converged: bool | None = None
    """The control's: stopped by patience rather than by its cap."""
    learning_rate: float | None = None
    notes: list[str] = []
    recipe: list[str] = []
    """What was chosen for this training, and why, a sentence each."""


class CheckpointManifest(Manifest):
    """What a checkpoint says of itself. Where `row.status` is not ok there are no weights beside it."""

    name: str
    backbone: str
    small: Small
    head: Head
    source_head: bool = False
    """The network keeps its architecture's own head (VGG's three layers) rather than graftline's."""
    mapped_from: int | None = None
    """Outputs of the source's own head, where `zero` put a fixed map to the target's classes behind it."""
    architecture: dict[str, float | int | str] = {}
    """What `structure` changed."""
    task: Annotated[str, AfterValidator(known_task)] = DEFAULT_TASK
    """What the outputs are: logits of classes, values in the labels' own units, or logits of labels by themselves."""
    classes: list[str]
    """For regression the names of the outputs, for multilabel those of the labels."""
    input: InputContract
    strategy: str
    seed: int
    dataset_digest: str | None
    """Of what it was trained on last; None where nothing was trained."""
    config: str
    """The job's canonical JSON."""
    parent: str | None = None
    """Digest of the checkpoint it started from."""
    digest: str = ""
    """sha256 of the weights file; empty where there is none."""
    licence: str
    """Of the source weights, or what is known of it."""
    reinitialised: list[str] = []
    """Weights that the parent had no fit for and that were drawn anew."""
    dropped: list[str] = []
    """Weights of the parent that were not taken over."""
    classes_kept: list[str] = []
    """Classes whose rows of the head came from the source, by name."""
    classes_new: list[str] = []
    """Classes whose rows were drawn anew."""
    classes_dropped: list[str] = []
    """Classes of the source that the target has not."""
    row: CandidateResult
    history: list[EpochRecord] = []


def write(folder: Path, manifest: CheckpointManifest, network: "Network | None") -> CheckpointManifest:
    """Writes a checkpoint: the weights, running statistics included, then the manifest.

    Args:
        folder: Made if need be; what a first try left there is overwritten.
        manifest: Its `files` and `digest` are filled in here.
        network: None where `manifest.row.status` is not ok, save for the last good weights of what diverged.

    Returns:
        The manifest as written.
    """
    from safetensors.torch import save_file

    if manifest.row.status != "diverged" and (network is None) == (manifest.row.status == "ok"):
        raise ValueError(f"row.status {manifest.row.status!r} {'without' if network is None else 'with'} a network")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (folder / NAME, folder / WEIGHTS):
        stale.unlink(missing_ok=True)
    digest = ""
    if network is not None:
        state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        digest = digest_file(folder / WEIGHTS)
    return write_manifest(folder, manifest.model_copy(update={"digest": digest}))


def load(folder: Path) -> "tuple[Network, CheckpointManifest]":
    """Reads a checkpoint: the network of its manifest with its weights, on the CPU, in eval mode.

    Raises:
        RefusedError: Not whole, edited, damaged, without weights, or weights that do not fit its manifest.
    """
    from graftline.models.libraries.shapes import Unfilled
    from graftline.models.libraries.weights import read_safetensors
    from graftline.models.network import build
    from graftline.models.objective import Objective
    from graftline.models.transfer.class_map import with_class_map
    from graftline.models.transfer.gate import fill

    manifest = read(folder, CheckpointManifest, verify=True)
    if manifest.row.status != "ok" and not manifest.digest:
        raise RefusedError(
            f"{folder}: no weights, its training ended as {manifest.row.status!r}: {manifest.row.reason}"
        )
    if manifest.files.get(WEIGHTS) is None or manifest.files[WEIGHTS] != manifest.digest:
        raise RefusedError(f"{folder / NAME}: its digest is not that of {WEIGHTS}; make the checkpoint again")
    with Unfilled():
        network = build(
            manifest.backbone,
            manifest.mapped_from or outputs(manifest.classes),
            input=manifest.input,
            small=manifest.small,
            head=manifest.head,
            source_head=manifest.source_head,
            architecture=manifest.architecture,
            objective=Objective.unfilled(manifest.task, len(manifest.classes)),
        )
        if manifest.mapped_from is not None:
            network = with_class_map(network, manifest.mapped_from, len(manifest.classes))
    fill(network, read_safetensors(folder / WEIGHTS))
    return network.eval(), manifest


def outputs(classes: list[str]) -> int:
    """Returns how many outputs a network for these classes has: one that means nothing where there are none yet."""
    return max(1, len(classes))
