"""Inputs and results of strategies, shared by cross-validation, the final training and tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from graftline.config import Control, Head, Small, StrategyOptions, Training
from graftline.models.checkpoint import CheckpointManifest, EpochRecord
from graftline.models.folding import folded
from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import at_resolution, for_images
from graftline.models.network import Network
from graftline.models.objective import Objective
from graftline.training.batches.samples import Samples
from graftline.training.progress import Progress
from graftline.training.resume.journal import Journal
from graftline.training.shape import Shape, shape_of
from graftline.training.validation import Change, outputs

FOLDING_PAYS_FROM = 100
"""Minimum number of images for which folding batch norms saves time; folding takes about 0.1 s."""
Options = TypeVar("Options", bound=StrategyOptions)


class NotApplicableError(Exception):
    """Raised if a strategy cannot be applied to a source; the reason is recorded and the run continues."""


@dataclass
class SourceModel:
    """A loaded source checkpoint, whose network is not modified, with cached outputs of its frozen parts."""

    network: Network
    manifest: CheckpointManifest
    cached_outputs: dict[str, tuple[object, Tensor]] = field(default_factory=dict)

    def frozen_outputs(
        self,
        name: str,
        module: nn.Module,
        samples: Samples,
        contract: InputContract,
        device: torch.device,
        progress: Progress | None = None,
        change: Change | None = None,
    ) -> Tensor:
        """Returns a frozen module's outputs for some samples, computed once for the samples' pool and cached.

        Args:
            name: Key in the cache; it must identify the module's weights and the change uniquely.
            module: Frozen module on `device`.
            samples: N samples, any subset of a pool.
            contract: Input contract that converts stored images to the module's input.
            device: Device of the module.
            progress: Progress counter, advanced after each batch.
            change: Applied to the normalized images.

        Returns:
            float32 (N, D).
        """
        pool, cached = self.cached_outputs.get(name, (None, torch.empty(0)))
        if pool is not samples.pool:
            everything = samples.all_samples()
            module.eval()
            quick = folded(module, contract, device) if len(everything) >= FOLDING_PAYS_FROM else module
            cached = outputs(quick, everything, contract, device, progress, change)
            self.cached_outputs[name] = (samples.pool, cached)
        return cached[torch.from_numpy(samples.indices).to(cached.device)]


@dataclass(frozen=True)
class StrategyInput:
    """Input of one training on the target: a source, options, samples and settings."""

    start: SourceModel
    options: StrategyOptions | None
    """Options of the strategy; None for the control."""
    train: Samples
    val: Samples
    """Samples for learning curves and the control's early stopping; may be empty. They share a pool with `train`."""
    classes: list[str]
    image_shape: tuple[int, int, int]
    """Shape (C, H, W) of the stored images."""
    head: Head
    training: Training
    """Resolved training settings, with epochs and augmentation set."""
    control: Control
    longest: int
    """Number of training images seen by the longest candidate."""
    control_rate: float | None
    seed: int
    device: torch.device
    progress: Progress
    objective: Objective = field(default_factory=Objective)
    """The task and the meaning of the network's outputs."""
    journal: Journal = field(default_factory=Journal)
    """Journal with the saved state of this training, if it was interrupted."""
    until: int | None = None
    """Number of training images seen after which to pause for a tournament's rung; None: no pause. The schedule covers
    the whole training."""
    network: Shape | None = None
    """Shape of the network to build; None: the source's."""

    def asked(self, kind: type[Options]) -> Options:
        """Returns the strategy's options.

        Raises:
            TypeError: The options belong to another strategy, which is a bug.
        """
        if not isinstance(self.options, kind):
            raise TypeError(f"options of {kind.__name__}: {self.options!r}")
        return self.options

    @property
    def shape(self) -> Shape:
        """The shape of the network to build."""
        return self.network or shape_of(self.start.manifest)

    @property
    def contract(self) -> InputContract:
        """The source's input contract for the target's images, at the configured resolution."""
        contract, side = for_images(self.start.manifest.input, self.image_shape), self.training.resolution
        if side in (None, min(contract.height, contract.width)):
            return contract
        return at_resolution(contract, self.start.manifest.backbone, side, drawn=self.options is None)


@dataclass(frozen=True)
class Surgery:
    """Classes whose rows of the head were kept, reinitialized and dropped."""

    kept: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Classes of the source without a matching target class."""


@dataclass(frozen=True)
class StrategyResult:
    """A trained network and the information that its manifest records."""

    network: Network
    contract: InputContract
    small: Small
    head: Head
    predict: Callable[[Samples], Tensor]
    """Function from N samples to logits (N, K)."""
    source_head: bool = False
    mapped_from: int | None = None
    architecture: dict[str, float | int | str] = field(default_factory=dict)
    backbone: str | None = None
    """Name of the backbone, if it differs from the source's."""
    surgery: Surgery = field(default_factory=Surgery)
    history: list[EpochRecord] = field(default_factory=list)
    examples_seen: int = 0
    trained_parameters: int = 0
    reinitialised: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    learning_rate: float | None = None
    converged: bool | None = None
    """Whether the control converged; None for other strategies."""
    over: bool = True
    """Whether the training is complete rather than paused at `StrategyInput.until`."""
    numerics: str = ""
    """Memory layout and precision, if a probe selected other values than the defaults."""
    diverged: str = ""
    """Reason for stopping with the last finite weights, if the training diverged."""


def predictor(network: Network, contract: InputContract, device: torch.device) -> Callable[[Samples], Tensor]:
    """Returns a function that maps samples to the network's logits."""
    return lambda samples: outputs(network, samples, contract, device)
