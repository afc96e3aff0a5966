"""Changes of a network's architecture."""

from typing import Annotated, Literal

from pydantic import Field

from graftline.config.base import Kernel, Positive, Settings


class ArchitectureOptions(Settings):
    """Width, depth, kernel and stem of a network, relative to its backbone's own."""

    width: Positive = 1.0
    """Factor on the widths of mlp, cnn, rnn, and of torchvision backbones that take `width_mult`."""
    depth: Annotated[int, Field(ge=-8, le=8)] = 0
    """Layers added (or, below 0, removed) at the end of mlp, cnn, rnn."""
    kernel: Kernel | None = None
    """Side of the cnn's kernels."""
    stem: Literal["keep", "small"] = "keep"
    """`small` makes the first convolution 3x3, stride 1, without pooling behind it: for images of 32 pixels."""
