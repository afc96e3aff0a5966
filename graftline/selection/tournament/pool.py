"""Which candidates race, from the most promising one on: a table with reasons, and what each needs of its source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from graftline.config import DEFAULT_TASK, Asked, Auto, Feature, Full, Staged, Strategy, Zero
from graftline.config.strategies import BSS, L2SP, BitFit, CoTuning, Delta, StochNorm, Wise
from graftline.data.labels import LABEL_TYPES
from graftline.training.recipe import feature_passes

RATES = (1.0, 3.0, 1 / 3)
"""Factors on the recipe's learning rates, in the order in which a budget pays for them."""
SIDES = 32
"""Raced resolutions are multiples of so many pixels: most networks halve the side five times."""
LEAST_SIDE = 96
"""Pixels under which no resolution is raced: some networks take none so small."""


@dataclass(frozen=True)
class PoolEntry:
    """One kind of candidate."""

    strategy: Strategy
    why: str
    factor: float = 1.0
    """On the recipe's learning rates."""
    zoom: float = 1.0
    """On the side of the network's input."""
    short: bool = False
    """Its schedule ends where the second rung does."""

    @property
    def cheap(self) -> bool:
        """Whether it runs whole in the first rung: it never trains the network."""
        return isinstance(self.strategy, Zero | Feature)

    @property
    def before(self) -> int:
        """What it costs beside its passes, in passes: the features that a head is fitted on are computed once."""
        return feature_passes(self.strategy)

    @property
    def suffix(self) -> str:
        """What tells its name from that of the plain strategy."""
        size = "-large" if self.zoom > 1 else "-small" if self.zoom < 1 else ""
        return {3.0: "-lr3", 1 / 3: "-lr0.33"}.get(self.factor, "") + size + ("-short" if self.short else "")

    def side(self, usual: int) -> int:
        """Returns the side of the network's input, given that of the recipe, both in pixels."""
        return usual if self.zoom == 1 else SIDES * round(usual * self.zoom / SIDES)


POOL = (
    PoolEntry(Zero(), "no training at all where the source knows the classes"),
    PoolEntry(Feature(), "the linear probe: the cheapest transfer, hard to beat with few labels"),
    PoolEntry(Full(), "the plain fine-tune, which the others have to beat"),
    PoolEntry(
        Staged(),
        "head first, then the layers: keeps features whole where labels are few or the source is far "
        "(Kumar et al. 2022)",
    ),
    PoolEntry(L2SP(), "held near to the source's weights, for few labels (Li et al. 2018)"),
    PoolEntry(Full(), "a source that is far wants larger steps", factor=3.0),
    PoolEntry(Full(), "a source that is near wants smaller ones (Li et al. 2020)", factor=1 / 3),
    PoolEntry(Full(), "finer feature maps of the same images (Touvron et al. 2019)", zoom=4 / 3),
    PoolEntry(Wise(), "the mean of probe and fine-tune is seldom worse than either (Wortsman et al. 2022)"),
    PoolEntry(BSS(), "no small singular values in the features, against negative transfer (Chen et al. 2019)"),
    PoolEntry(Staged(), "likewise with larger steps", factor=3.0),
    PoolEntry(L2SP(), "what holds it back lets it take larger steps", factor=3.0),
    PoolEntry(BitFit(), "a few weights only, for very few labels (Ben Zaken et al. 2022)", factor=3.0),
    PoolEntry(CoTuning(), "the source's classes as a second truth (You et al. 2020)"),
    PoolEntry(StochNorm(), "a batch norm that trusts the source's statistics by half (Kou et al. 2020)"),
    PoolEntry(Full(), "an early end of the schedule, where long training forgets the source", short=True),
    PoolEntry(Full(), "fewer pixels cost less time, to train and to serve", zoom=2 / 3),
    PoolEntry(Delta(), "feature maps held near to the source's: good with few labels, but slow (Li et al. 2019)"),
    PoolEntry(Staged(), "likewise with smaller steps", factor=1 / 3),
)
"""What `auto` races. Not in it: `partial` lies between `feature` and `staged`; `l2` is the recipe's weight decay;
`lora` needs an extra and saves memory, not images; `structure` brings no weights along; `distill` makes a smaller
network."""


@dataclass(frozen=True)
class Traits:
    """What a source can serve."""

    shared_classes: bool
    """Whether a class of the target has its namesake among the source's."""
    source_head: bool
    """Whether the source has a head that was trained on classes."""
    batch_norm: bool
    task: str = DEFAULT_TASK
    side: int = 0
    """Of the network's input in pixels, the shorter one, where it takes others as well and none is set by hand; else 0.
    """


def applies(entry: PoolEntry, source: Traits) -> bool:
    """Whether a strategy of the pool makes sense with a source."""
    if entry.zoom != 1:
        return LEAST_SIDE <= entry.side(source.side) != source.side
    match entry.strategy:
        case Zero():
            return source.shared_classes and LABEL_TYPES[source.task].is_class
        case CoTuning():
            return source.source_head and LABEL_TYPES[source.task].is_class
        case StochNorm():
            return source.batch_norm
        case _:
            return True


def entries(asked: Iterable[Asked]) -> Iterator[tuple[PoolEntry, bool]]:
    """Lists what races, the most promising first, and of each whether it was asked for by name.

    `auto` stands for the pool; each strategy that is named is raced at the recipe's rates, then at others.
    """
    listed = list(asked)
    named = [
        PoolEntry(strategy, "asked for", factor)
        for factor in RATES
        for strategy in listed
        if not isinstance(strategy, Auto) and (factor == 1 or not isinstance(strategy, Zero | Feature))
    ]
    if any(isinstance(each, Auto) for each in listed):
        yield from ((entry, False) for entry in POOL if replace(entry, why="asked for") not in named)
    yield from ((entry, True) for entry in named)
