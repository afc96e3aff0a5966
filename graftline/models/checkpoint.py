"""The checkpoint artifact: a safetensors file with the weights and a manifest that describes the network.

Reading a manifest does not import torch; reading weights does.
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
"""Name of the weights file in a checkpoint's directory."""


class EpochRecord(BaseModel):
    """One point of a learning curve."""

    stage: str = ""
    epoch: int
    train_loss: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_score: float | None = None
    """Main metric on validation; higher is better."""
    learning_rate: float | None = None
    seconds: float = 0.0
    examples_seen: int = Field(0, validation_alias=AliasChoices("examples_seen", "presentations"))
    """Training images seen so far, counted once per epoch."""


class CandidateResult(BaseModel):
    """The result of one training, stored in `run.json`."""

    source: str = ""
    strategy: str = ""
    status: str = "ok"
    """Status of the training: ok, diverged, oom, refused, skipped or 'not applicable'."""
    reason: str = ""
    val_accuracy: float | None = None
    val_score: float | None = None
    """Main metric on validation; higher is better. Balanced accuracy for classification, macro average precision for
    multilabel; for regression, minus the mean over outputs of the RMSE divided by the output's standard deviation."""
    val_score_se: float | None = None
    """Standard error of `val_score`."""
    val_method: str = ""
    """Validation method: 'validation split' or '2 x 5-fold over train + validation'."""
    train_seconds: float = 0.0
    examples_seen: int = Field(0, validation_alias=AliasChoices("examples_seen", "presentations"))
    """Training images seen by the saved model, counted once per epoch."""
    trained_parameters: int = 0
    converged: bool | None = None
    """Whether early stopping ended the training of the control before its limit."""
    learning_rate: float | None = None
    notes: list[str] = []
    recipe: list[str] = []
    """Choices made for this training and their reasons, one sentence each."""


class CheckpointManifest(NetworkSpec, Manifest):
    """A checkpoint's manifest, which describes the network and its training.

    A checkpoint has weights if `row.status` is ok, and possibly if it is diverged.
    """

    name: str
    strategy: str
    seed: int
    dataset_digest: str | None
    """Digest of the dataset of the last training; None without training."""
    config: str
    """Canonical JSON of the job."""
    parent: str | None = None
    """Digest of the checkpoint that provided the initial weights."""
    digest: str = ""
    """SHA-256 digest of the weights file; empty without one."""
    licence: str
    """License of the source weights, as far as it is known."""
    reinitialised: list[str] = []
    """Names of the weights that were reinitialized because the parent has no matching weights."""
    dropped: list[str] = []
    """Names of the parent's weights that were not transferred."""
    classes_kept: list[str] = []
    """Names of the classes whose head rows were transferred from the source."""
    classes_new: list[str] = []
    """Names of the classes whose head rows were reinitialized."""
    classes_dropped: list[str] = []
    """Names of the source classes that the target does not have."""
    row: CandidateResult
    history: list[EpochRecord] = []

    @property
    def spec(self) -> NetworkSpec:
        """The network's description without the other fields of the manifest."""
        return NetworkSpec(**self.fields())


def write(folder: Path, manifest: CheckpointManifest, network: "Network | None") -> CheckpointManifest:
    """Writes the weights, including running statistics, and then the manifest of a checkpoint.

    Args:
        folder: The checkpoint's directory. It is created if it does not exist; an existing checkpoint is overwritten.
        manifest: The manifest to write. This function sets its `files` and `digest`.
        network: The network, or None if `manifest.row.status` is not ok. A training with status diverged may have a
            network with the last finite weights.

    Returns:
        The manifest as written.

    Raises:
        ValueError: The status is ok without a network, or neither ok nor diverged with one.
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
