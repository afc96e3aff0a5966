"""What a strategy is given and gives back: plain values, so that folds, final training and tests call the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from graftline.config import Control, Head, Settings, Small, Strategy, Training
from graftline.config.strategies import Distill
from graftline.models.checkpoint import CheckpointManifest, EpochRecord, InputContract
from graftline.models.folding import folded
from graftline.models.inputs.sizes import at_resolution, for_images
from graftline.models.network import Network
from graftline.models.objective import Objective
from graftline.training.batches.samples import Samples
from graftline.training.progress import Progress
from graftline.training.resume.journal import Journal
from graftline.training.validation import Change, outputs

MANY = 100
"""Images from which following a network's code, a tenth of a second, pays."""
Options = TypeVar("Options", bound=Settings)


class NotApplicableError(Exception):
    """A strategy has nothing to work on with this source; becomes its row's reason, ends nothing."""


@dataclass
class SourceModel:
    """A source checkpoint, opened. Nobody changes its network; what a frozen part says of the samples is kept."""

    network: Network
    manifest: CheckpointManifest
    _kept: dict[str, tuple[object, Tensor]] = field(default_factory=dict)

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
        """Returns what a frozen module says of each sample; the samples' whole pool is asked once.

        Args:
            name: Of what is kept; the same name has to mean the same weights and changes.
            module: On `device`.
            samples: (N,), any part of a pool.
            contract: What turns stored images into the module's input.
            device: Where the module is.
            meter: Told of each batch.
            change: Of the normalised images.

        Returns:
            float32 (N, D).
        """
        pool, kept = self._kept.get(name, (None, torch.empty(0)))
        if pool is not samples.pool:
            whole = samples.all_samples()
            module.eval()
            quick = folded(module, contract, device) if len(whole) >= MANY else module
            kept = outputs(quick, whole, contract, device, progress, change)
            self._kept[name] = (samples.pool, kept)
        return kept[torch.from_numpy(samples.indices).to(kept.device)]


@dataclass(frozen=True)
class StrategyInput:
    """One training on the target."""

    start: SourceModel
    options: Strategy | None
    """None for the control."""
    train: Samples
    val: Samples
    """For learning curves, and the control's early stopping; may be empty. Shares its pool with `train`."""
    classes: list[str]
    image_shape: tuple[int, int, int]
    """(C, H, W) of the stored images."""
    head: Head
    training: Training
    """Resolved: epochs and augmentation set."""
    control: Control
    longest: int
    """Presentations of the longest candidate."""
    control_rate: float | None
    seed: int
    device: torch.device
    progress: Progress
    objective: Objective = field(default_factory=Objective)
    """What the outputs mean."""
    journal: Journal = field(default_factory=Journal)
    """What this training has come to, where it was killed before."""
    until: int | None = None
    """Presentations after which to pause (a rung of a tournament); the schedule stays that of the whole training."""
    student: Distill | None = None
    """The control's, where its network is a student's rather than the source's."""

    def asked(self, kind: type[Options]) -> Options:
        """Returns the strategy's options.

        Raises:
            TypeError: They are another strategy's: a bug.
        """
        if not isinstance(self.options, kind):
            raise TypeError(f"options of {kind.__name__}: {self.options!r}")
        return self.options

    @property
    def contract(self) -> InputContract:
        """The source's input contract, for the target's images."""
        contract, side = for_images(self.start.manifest.input, self.image_shape), self.training.resolution
        if side in (None, min(contract.height, contract.width)):
            return contract
        return at_resolution(contract, self.start.manifest.backbone, side, drawn=self.options is None)


@dataclass(frozen=True)
class Surgery:
    """What became of the head's rows, by class name."""

    kept: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """The source's."""


@dataclass(frozen=True)
class StrategyResult:
    """A trained network and what its manifest says of it."""

    network: Network
    contract: InputContract
    small: Small
    head: Head
    predict: Callable[[Samples], Tensor]
    """Samples (N,) to logits (N, K)."""
    source_head: bool = False
    mapped_from: int | None = None
    architecture: dict[str, float | int | str] = field(default_factory=dict)
    backbone: str | None = None
    """Where it is not the source's."""
    surgery: Surgery = field(default_factory=Surgery)
    history: list[EpochRecord] = field(default_factory=list)
    examples_seen: int = 0
    trained_parameters: int = 0
    reinitialised: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    learning_rate: float | None = None
    converged: bool | None = None
    """The control's."""
    over: bool = True
    """False: paused at `Task.until`."""
    numerics: str = ""
    """Layout and precision, where a probe chose others than usual."""
    diverged: str = ""
    """Why training stopped with the last good weights."""


def predictor(network: Network, contract: InputContract, device: torch.device) -> Callable[[Samples], Tensor]:
    """Returns the function from samples to a network's logits."""
    return lambda samples: outputs(network, samples, contract, device)
