"""The variants of strategies that a tournament trains, the most promising first, and which of them fit a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graftline.config import AUTO, DEFAULT_TASK, StrategyChoice, StrategyOptions, without_auto
from graftline.strategies import STRATEGIES
from graftline.strategies.lookup import profile_of, resolve
from graftline.strategies.record import Strategy, TournamentVariant

RATE_FACTORS = (1.0, 3.0, 1 / 3)
"""Factors on the recipe's learning rates, in the order in which a budget pays for them."""
SIDE_STEP = 32
"""Resolutions are multiples of so many pixels: most networks halve the side five times."""
MIN_SIDE = 96
"""Minimum resolution in pixels: some networks take no smaller one."""


@dataclass(frozen=True)
class PoolEntry:
    """A strategy with its options, and the variant of it that is trained."""

    choice: StrategyOptions
    variant: TournamentVariant

    @property
    def strategy(self) -> Strategy:
        """The strategy's record."""
        return STRATEGIES[self.choice.name]

    @property
    def is_cheap(self) -> bool:
        """Whether it is trained completely in the first rung, because it trains no more than a head."""
        return not self.strategy.trains_network

    @property
    def feature_passes(self) -> int:
        """Passes over the training split that cache features, in addition to those of the training."""
        return profile_of(self.choice).feature_passes

    @property
    def suffix(self) -> str:
        """Suffix of the candidate's name."""
        variant = self.variant
        size = "-large" if variant.zoom > 1 else "-small" if variant.zoom < 1 else ""
        rate = {3.0: "-lr3", 1 / 3: "-lr0.33"}.get(variant.rate_factor, "")
        return rate + size + ("-short" if variant.is_short else "")

    def side(self, default: int) -> int:
        """Returns the side of the network's input, given that of the recipe, both in pixels."""
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
"""The variants that `auto` trains."""


@dataclass(frozen=True)
class SourceProperties:
    """What a source offers to strategies."""

    has_shared_classes: bool
    """Whether a class of the target has the name of one of the source's."""
    has_trained_head: bool
    """Whether its head was trained on classes."""
    has_batch_norm: bool
    task: str = DEFAULT_TASK
    """The target's."""
    side: int = 0
    """Shorter side of the network's input in pixels if it takes other sizes too and the config sets none; else 0."""


def applies(entry: PoolEntry, source: SourceProperties) -> bool:
    """Whether a variant makes sense with a source."""
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
    """Yields what a tournament trains, the most promising first, and whether each was listed by name.

    `auto` stands for the pool; each strategy that is listed by name is trained at the recipe's rates, then at others.
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
