"""Options of the strategies, one class each."""

from typing import Annotated, Any, Literal

from pydantic import Field

from graftline.config.knobs import Kernel, Knobs, Positive


class Zero(Knobs):
    """The source model, head included, as it is."""

    name: Literal["zero"] = "zero"


class Feature(Knobs):
    """Frozen backbone, features once, a new head trained to convergence."""

    name: Literal["feature"] = "feature"


class Partial(Knobs):
    """First layers carried over and frozen, the rest trained."""

    name: Literal["partial"] = "partial"
    carry: Annotated[int, Field(ge=0)] | str | None = None
    """Layers taken from the source: how many from the input, or the name of the last one; by default all."""
    freeze: Annotated[int, Field(ge=0)] | str | None = None
    """Layers not trained, likewise; by default half of them."""


class Staged(Knobs):
    """The head to convergence, then layers from the top with decayed rates."""

    name: Literal["staged"] = "staged"
    stages: Annotated[int, Field(ge=1, le=8)] = 3
    """In how many steps the backbone's layers join, from the top."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate from one group of layers to the next one below."""


class Full(Knobs):
    """Every layer carried over and trained."""

    name: Literal["full"] = "full"


class Structure(Knobs):
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


Strategy = Annotated[Zero | Feature | Partial | Staged | Full | Structure, Field(discriminator="name")]


def long_strategy(item: Any) -> Any:
    """Turns a name, or a one-key mapping of a name to options, into a section with `name`."""
    if isinstance(item, str):
        return {"name": item}
    if isinstance(item, dict) and len(item) == 1 and "name" not in item:
        name, options = next(iter(item.items()))
        return {"name": name, **(options or {})}
    return item
