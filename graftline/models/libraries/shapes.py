"""Shapes without arithmetic: networks whose weights take no memory, and what they would return."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graftline.runtime.errors import RefusedError


class Unfilled(TorchFunctionMode):
    """Within it, modules are constructed with weights on the meta device: no memory, no random numbers.

    `torch.device("meta")` would also take the small tensors that some constructors compute with (RegNet).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Sends `torch.empty`, where weights come from, to the meta device."""
        options = dict(kwargs or {})
        if func is torch.empty and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


def output_shape(net: nn.Module, channels: int, height: int, width: int, *, name: str) -> tuple[int, ...]:
    """Returns the shape that a batch of one would leave a network with, without computing it.

    Args:
        net: Maps (B, channels, height, width) to anything with a batch axis.
        channels: Channels of the image.
        height: In pixels.
        width: In pixels.
        name: For the message.

    Returns:
        The output's shape without the batch axis.

    Raises:
        RefusedError: The network cannot take images of that size.
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
