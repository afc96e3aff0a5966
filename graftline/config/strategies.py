"""Options of the strategies, one class each."""

from typing import Annotated, Any, Literal

from pydantic import Field

from graftline.config.base import Count, Fraction, Kernel, NotNegative, Positive, Settings


class Zero(Settings):
    """The source model, head included, as it is."""

    name: Literal["zero"] = "zero"


class Feature(Settings):
    """Frozen backbone, features once, a new head trained to convergence."""

    name: Literal["feature"] = "feature"
    views: Annotated[int, Field(ge=1, le=64)] = 1
    """Times that each image's features are computed: once as it is, the others augmented."""


class Partial(Settings):
    """First layers carried over and frozen, the rest trained."""

    name: Literal["partial"] = "partial"
    carry: Annotated[int, Field(ge=0)] | str | None = None
    """Layers taken from the source: how many from the input, or the name of the last one; by default all."""
    freeze: Annotated[int, Field(ge=0)] | str | None = None
    """Layers not trained, likewise; by default half of them."""


class Staged(Settings):
    """The head to convergence, then layers from the top with decayed rates."""

    name: Literal["staged"] = "staged"
    stages: Annotated[int, Field(ge=1, le=8)] = 3
    """In how many steps the backbone's layers join, from the top."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate from one group of layers to the next one below."""


class Full(Settings):
    """Every layer carried over and trained."""

    name: Literal["full"] = "full"


class Structure(Settings):
    """The source's architecture, changed where asked, with weights drawn anew."""

    name: Literal["structure"] = "structure"
    width: Positive = 1.0
    """Factor on the widths of mlp, cnn, rnn, and of torchvision backbones that take `width_mult`."""
    depth: Annotated[int, Field(ge=-8, le=8)] = 0
    """Layers added (or, below 0, removed) at the end of mlp, cnn, rnn."""
    kernel: Kernel | None = None
    """Side of the cnn's kernels."""
    stem: Literal["keep", "small"] = "keep"
    """`small` makes the first convolution 3x3, stride 1, without pooling behind it: for images of 32 pixels."""


class L2(Settings):
    """All layers carried over and trained, |w|^2 held down."""

    name: Literal["l2"] = "l2"
    strength: NotNegative = 0.01
    """Of the decay; as lambda of loss + lambda |w|^2 where it is not decoupled."""
    decoupled: bool = True
    """Decay beside the gradient (AdamW) rather than in the loss."""


class L2SP(Settings):
    """All layers trained, held near to the source's weights."""

    name: Literal["l2sp"] = "l2sp"
    alpha: NotNegative = 0.01
    """Of alpha/2 |w - w_source|^2 over the carried weights."""
    beta: NotNegative = 0.01
    """Of beta/2 |w|^2 over the head."""


class Delta(Settings):
    """All layers trained, feature maps held near to the source network's, channel by channel."""

    name: Literal["delta"] = "delta"
    strength: NotNegative = 0.01
    """Of the weighted distance between feature maps."""
    beta: NotNegative = 0.01
    """Of beta/2 |w|^2 over the head."""
    layers: list[str] | None = None
    """Names of the backbone's layers whose maps are compared; by default four, spread over its depth."""


class BSS(Settings):
    """All layers trained, the smallest singular values of a batch's features held down."""

    name: Literal["bss"] = "bss"
    eta: NotNegative = 0.001
    """Weight of the penalty."""
    k: Count = 1
    """How many of the smallest singular values."""


class StochNorm(Settings):
    """All layers trained, batch norm taking batch or running statistics at random, channel by channel."""

    name: Literal["stochnorm"] = "stochnorm"
    probability: Fraction = 0.5
    """Of a channel taking the running statistics."""


class CoTuning(Settings):
    """All layers and the source's head trained, the source's classes as a second, soft truth."""

    name: Literal["cotuning"] = "cotuning"
    strength: NotNegative = 2.3
    """Of the loss on the source's head."""


class Lora(Settings):
    """Low-rank changes to linear layers and 1x1 convolutions, merged at the end; needs graftline[lora]."""

    name: Literal["lora"] = "lora"
    rank: Count = 8
    """Of each change."""
    alpha: Positive = 16.0
    """Each change counts alpha / rank times."""


class BitFit(Settings):
    """Frozen weights; biases, norm layers and the head trained."""

    name: Literal["bitfit"] = "bitfit"
    train: Literal["biases", "norms"] = "biases"
    """`biases`: all biases, those of norm layers among them; `norms`: weights and biases of norm layers alone."""


class Wise(Settings):
    """The mean, weighted, of the linear-probed model's weights and those of the fine-tune that started from it."""

    name: Literal["wise"] = "wise"
    alpha: Fraction | None = None
    """Weight of the fine-tune; by default chosen on validation."""


class Distill(Settings):
    """A smaller network taught by the fine-tuned one, for small devices."""

    name: Literal["distill"] = "distill"
    student: str | None = None
    """Backbone of the student, random weights; by default the source's own architecture, narrower."""
    width: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Factor on the widths where the student is a narrower copy."""
    temperature: Positive = 2.0
    """Softens both outputs."""


Strategy = Annotated[
    Zero
    | Feature
    | Partial
    | Staged
    | Full
    | Structure
    | L2
    | L2SP
    | Delta
    | BSS
    | StochNorm
    | CoTuning
    | Lora
    | BitFit
    | Wise
    | Distill,
    Field(discriminator="name"),
]


def long_strategy(item: Any) -> Any:
    """Turns a name, or a one-key mapping of a name to options, into a section with `name`."""
    if isinstance(item, str):
        return {"name": item}
    if isinstance(item, dict) and len(item) == 1 and "name" not in item:
        name, options = next(iter(item.items()))
        return {"name": name, **(options or {})}
    return item
