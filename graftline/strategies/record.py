"""The record of a strategy: everything that the rest of the program needs to know about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graftline.config import StrategyOptions, TaskName
from graftline.models.checkpoint import CheckpointManifest
from graftline.training.profile import TrainingProfile
from graftline.training.shape import Shape, shape_of

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult

TASKS: tuple[TaskName, ...] = ("classification", "regression", "multilabel")
PLAIN = TrainingProfile()
"""The profile of a strategy that trains the whole network."""


@dataclass(frozen=True)
class TournamentVariant:
    """One way in which a tournament trains a strategy."""

    rank: int
    """Order in which a budget pays for the variants of all strategies, the most promising first."""
    reason: str
    """Why it is worth a try, with the paper."""
    rate_factor: float = 1.0
    """Factor on the recipe's learning rates."""
    zoom: float = 1.0
    """Factor on the side of the network's input."""
    is_short: bool = False
    """Whether its schedule ends with the second rung."""
    needs_shared_classes: bool = False
    """Whether it is trained only where the source and the target share a class."""


@dataclass(frozen=True)
class Strategy:
    """A strategy: its options, how it is trained, what it needs and what it costs."""

    options: type[StrategyOptions]
    """Its options; the first line of their docstring is the strategy's summary."""
    train: Callable[[StrategyInput], StrategyResult]
    profile: TrainingProfile = PLAIN
    """What its recipe and its cost depend on."""
    views: Callable[[Any], int] = lambda options: 1
    """Options to the number of views of each image whose features are cached."""
    uses_source_weights: bool = True
    """Whether it starts from a pretrained source's weights; its result then carries the source's license."""
    needs_source_head: bool = False
    """Whether it needs a source whose head was trained on classes."""
    needs_batch_norm: bool = False
    """Whether it needs a backbone with batch norm."""
    needs_linear_layers: bool = False
    """Whether it needs a backbone with linear layers or 1x1 convolutions."""
    tasks: tuple[TaskName, ...] = TASKS
    """The problem kinds of the target that it serves."""
    network: Callable[[CheckpointManifest, Any], Shape] | None = None
    """Source and options to the shape of the trained network; None: the source's own."""
    variants: tuple[TournamentVariant, ...] = ()
    """How `auto` races it."""
    not_raced: str = ""
    """Why `auto` does not race it."""
    examples: tuple[StrategyOptions, ...] = ()
    """Options with which the contract tests train it; empty: the defaults."""
    is_control: bool = False
    """Whether every run trains it; a config does not list it."""

    @property
    def name(self) -> str:
        """The name in a config."""
        return str(self.options.model_fields["name"].default)

    @property
    def summary(self) -> str:
        """One sentence on what it does."""
        return (self.options.__doc__ or "").partition("\n")[0]

    @property
    def tested(self) -> tuple[StrategyOptions, ...]:
        """The options with which the contract tests train it."""
        return self.examples or (self.options(),)  # type: ignore[call-arg]

    @property
    def trains_network(self) -> bool:
        """Whether it trains more than a head."""
        return self.profile.trains == "network"

    def profile_for(self, options: StrategyOptions) -> TrainingProfile:
        """Returns the profile with these options."""
        return replace(self.profile, name=self.name, views=self.views(options))

    def shape(self, source: CheckpointManifest, options: StrategyOptions) -> Shape:
        """Returns the shape of the trained network."""
        return shape_of(source) if self.network is None else self.network(source, options)
