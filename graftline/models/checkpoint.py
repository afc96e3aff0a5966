"""The checkpoint artifact: weights as safetensors and the manifest that rebuilds the network around them.

Reading a manifest needs no torch; reading weights does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import AliasChoices, BaseModel, Field

from graftline.models.spec import NetworkSpec
from graftline.runtime.manifest import NAME, Manifest, digest_file
from graftline.runtime.manifest import write as write_manifest

if TYPE_CHECKING:
    from graftline.models.network import Network

WEIGHTS = "weights.safetensors"


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


class CheckpointManifest(NetworkSpec, Manifest):
    """A checkpoint's manifest: the network and how it was trained. Without weights unless `row.status` is ok."""

    name: str
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

    @property
    def spec(self) -> NetworkSpec:
        """The network's description alone."""
        return NetworkSpec(**self.fields())


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
