"""Lists the strategy variants that a tournament trains, by rank, and checks which of them apply to a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graftline.config import AUTO, DEFAULT_TASK, StrategyChoice, StrategyOptions, without_auto
from graftline.strategies import STRATEGIES
from graftline.strategies.lookup import profile_of, resolve
from graftline.strategies.record import Strategy, TournamentVariant

RATE_FACTORS = (1.0, 3.0, 1 / 3)
"""Multipliers of the recipe's learning rates, in the order in which they are added as the budget grows."""
SIDE_STEP = 32
"""Multiple of which resolutions are chosen, in pixels; most networks halve the side length five times."""
MIN_SIDE = 96
"""Minimum resolution in pixels; some networks do not accept smaller inputs."""


@dataclass(frozen=True)
class PoolEntry:
    """A strategy with its options and the variant of the strategy that is trained."""

    choice: StrategyOptions
    variant: TournamentVariant

    @property
    def strategy(self) -> Strategy:
        """Registered strategy."""
        return STRATEGIES[self.choice.name]

    @property
    def is_cheap(self) -> bool:
        """Whether the entry is trained completely in the first rung because it trains only a head."""
        return not self.strategy.trains_network

    @property
    def feature_passes(self) -> int:
        """Number of passes over the training split that cache features, in addition to the training passes."""
        return profile_of(self.choice).feature_passes

    @property
    def suffix(self) -> str:
        """Suffix of the candidate name."""
        variant = self.variant
        size = "-large" if variant.zoom > 1 else "-small" if variant.zoom < 1 else ""
        rate = {3.0: "-lr3", 1 / 3: "-lr0.33"}.get(variant.rate_factor, "")
        return rate + size + ("-short" if variant.is_short else "")

    def side(self, default: int) -> int:
        """Returns the side length of the network input in pixels, given the side length in the recipe."""
        return default if self.variant.zoom == 1 else SIDE_STEP * round(default * self.variant.zoom / SIDE_STEP)


POOL = tuple(
    sorted(
        (
            PoolEntry(strategy.options(), variant)  # type: ignore[call-arg]
            for strategy in STRATEGIES.values()
            for variant in strategy.variants
        ),
        key=lambda entry: entry.variant.rank,
    )
)
"""Variants that `auto` trains, sorted by rank."""


@dataclass(frozen=True)
class SourceProperties:
    """Properties of a source that determine which variants apply to it."""

    has_shared_classes: bool
    """Whether at least one class name of the target is also a class name of the source."""
    has_trained_head: bool
    """Whether the head of the source was trained on classes."""
    has_batch_norm: bool
    task: str = DEFAULT_TASK
    """Task of the target."""
    side: int = 0
    """Shorter side of the network input in pixels; 0 if the network has a fixed input size or the config sets it."""


def applies(entry: PoolEntry, source: SourceProperties) -> bool:
    """Returns whether a variant applies to a source."""
    variant, strategy = entry.variant, entry.strategy
    if variant.zoom != 1:
        return MIN_SIDE <= entry.side(source.side) != source.side
    return (
        source.task in strategy.tasks
        and (source.has_shared_classes or not variant.needs_shared_classes)
        and (source.has_trained_head or not strategy.needs_source_head)
        and (source.has_batch_norm or not strategy.needs_batch_norm)
    )


def entries(choices: Sequence[StrategyChoice]) -> Iterator[tuple[PoolEntry, bool]]:
    """Yields the entries that a tournament trains, by rank, and whether each strategy was listed by name.

    `auto` expands to `POOL`. Strategies that are listed by name are trained with the recipe's learning rates first,
    then with the other factors in `RATE_FACTORS`.
    """
    listed = [resolve(choice) for choice in without_auto(choices)]
    named = [
        PoolEntry(choice, TournamentVariant(0, "listed in the config", rate_factor))
        for rate_factor in RATE_FACTORS
        for choice in listed
        if rate_factor == 1 or STRATEGIES[choice.name].trains_network
    ]
    if any(choice.name == AUTO for choice in choices):
        yield from ((entry, False) for entry in POOL if not any(_is_same(entry, other) for other in named))
    yield from ((entry, True) for entry in named)


def _is_same(entry: PoolEntry, other: PoolEntry) -> bool:
    return (entry.choice, entry.suffix) == (other.choice, other.suffix)
