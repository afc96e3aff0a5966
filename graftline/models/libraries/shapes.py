"""Networks on the meta device, and their output shapes without computation."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graftline.runtime.errors import RefusedError


class Unfilled(TorchFunctionMode):
    """Context manager that constructs modules with weights on the meta device, without memory or random numbers.

    `torch.device("meta")` would also affect the small tensors that some constructors compute with (RegNet).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls a function, with the meta device for `torch.empty`, which allocates the weights."""
        options = dict(kwargs or {})
        if func is torch.empty and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


def output_shape(net: nn.Module, channels: int, height: int, width: int, *, name: str) -> tuple[int, ...]:
    """Returns the shape of a network's output for one image, without computing the output.

    Args:
        net: A network that maps (B, channels, height, width) to a tensor with a batch dimension.
        channels: Number of channels of the image.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        name: Name of the network for error messages.

    Returns:
        The shape of the output without the batch dimension.

    Raises:
        RefusedError: The network does not support images of this size.
    """
    state = {key: value.to("meta") for key, value in [*net.named_parameters(), *net.named_buffers()]}
    image = torch.empty(2, channels, height, width, device="meta")
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            out: Tensor = torch.func.functional_call(net, state, (image,))
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        why = str(error).strip().splitlines()[0]
        raise RefusedError(
            f"backbone: {name} cannot take images of {height}x{width} pixels ({why}); "
            "set image_size to a larger side, or take another backbone"
        ) from None
    finally:
        net.train(training)
    if 0 in out.shape:
        raise RefusedError(
            f"backbone: {name} leaves nothing of images of {height}x{width} pixels; "
            "set image_size to a larger side, or take another backbone"
        )
    return tuple(out.shape[1:])
