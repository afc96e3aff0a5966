"""The checkpoint artifact: weights as safetensors and the manifest that rebuilds the network around them.

Reading a manifest needs no torch; reading weights does.
"""

from pydantic import BaseModel, ConfigDict

from graftline.config import Head, Small
from graftline.manifest import Manifest


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


class Epoch(BaseModel):
    """One point of a learning curve."""

    stage: str = ""
    epoch: int
    train_loss: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    learning_rate: float | None = None
    seconds: float = 0.0
    presentations: int = 0
    """Images shown so far."""


class Row(BaseModel):
    """What a training amounts to: its line in `run.json`."""

    source: str = ""
    strategy: str = ""
    status: str = "ok"
    """ok, diverged, oom, refused or 'not applicable'."""
    reason: str = ""
    val_accuracy: float | None = None
    val_score: float | None = None
    """Main metric on validation: balanced accuracy."""
    val_score_se: float | None = None
    """Its standard error."""
    val_method: str = ""
    """'validation split' or '2 x 5-fold over train + validation'."""
    train_seconds: float = 0.0
    presentations: int = 0
    """Images that entered a gradient of the model that was kept, each time counted."""
    trained_parameters: int = 0
    converged: bool | None = None
    """The control's: stopped by patience rather than by its cap."""
    learning_rate: float | None = None
    notes: list[str] = []


class CheckpointManifest(Manifest):
    """What a checkpoint says of itself. Where `row.status` is not ok there are no weights beside it."""

    name: str
    backbone: str
    small: Small
    head: Head
    source_head: bool = False
    """The network keeps its architecture's own head (VGG's three layers) rather than graftline's."""
    architecture: dict[str, float | int | str] = {}
    """What `structure` changed."""
    classes: list[str]
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
    row: Row
    history: list[Epoch] = []
