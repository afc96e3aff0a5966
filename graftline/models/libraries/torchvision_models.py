"""torchvision's classifiers by name: how one is constructed and where its head begins."""

import difflib
import inspect
import typing
from collections import OrderedDict
from typing import Any

import torchvision
from torch import nn

from graftline.models.libraries.shapes import Unfilled
from graftline.runtime.errors import RefusedError


def names() -> list[str]:
    """Returns the name of every torchvision classifier."""
    return list(torchvision.models.list_models(module=torchvision.models))


def check_name(name: str) -> None:
    """Refuses a name that is no torchvision classifier.

    Raises:
        RefusedError: With the nearest names.
    """
    if name in (known := names()):
        return
    near = difflib.get_close_matches(name, [*known, "mlp", "cnn", "rnn"], n=3) or known[:3]
    raise RefusedError(
        f"backbone: {name!r} is not known; expected mlp, cnn, rnn, timm/NAME or a torchvision "
        f"classifier, such as {', '.join(near)}"
    )


def knobs(name: str) -> set[str]:
    """Returns the constructor arguments of an architecture, read from its signature."""
    check_name(name)
    architecture = typing.get_type_hints(torchvision.models.get_model_builder(name))["return"]
    return set(inspect.signature(architecture.__init__).parameters)


def default_weights(name: str) -> Any:
    """Returns torchvision's `DEFAULT` entry: its URL, its transforms, its metadata. Nothing is downloaded."""
    check_name(name)
    return torchvision.models.get_model_weights(name).DEFAULT


def construct(name: str, classes: int, *, side: int | None = None, width: float = 1.0) -> nn.Module:
    """Constructs a classifier as torchvision has it, without auxiliary heads, with random weights.

    Args:
        name: A torchvision classifier.
        classes: Outputs of its head.
        side: Height and width in pixels, for architectures whose constructor asks for it (ViT, MaxViT).
        width: Factor on all widths; only where `structures` allows it.
    """
    options: dict[str, Any] = {"num_classes": classes, "weights": None}
    known = knobs(name)
    # Auxiliary heads are training aids of 2014; with init_weights unset, two constructors warn.
    options |= {key: value for key, value in {"aux_logits": False, "init_weights": True}.items() if key in known}
    if side is not None and "image_size" in known:
        options["image_size"] = side
    if side is not None and "input_size" in known:
        options["input_size"] = (side, side)
    if width != 1.0:
        options["width_mult"] = width
    return typing.cast(nn.Module, torchvision.models.get_model_builder(name)(**options))


def step_of(net: Any) -> int | None:
    """Returns what the side must be a multiple of where the constructor fixes it (ViT, MaxViT), else None."""
    if hasattr(net, "image_size") and hasattr(net, "patch_size"):
        return int(net.patch_size)
    if hasattr(net, "partition_size"):
        return 32 * int(net.partition_size)
    return None


def squares(name: str, side: int) -> list[int] | None:
    """Returns the least side, of at least `side`, that a constructor which fixes the side can take; else None."""
    with Unfilled():
        step = step_of(construct(name, 2))
    return None if step is None else [-(-side // step) * step]


def native_side(name: str) -> int:
    """Returns the side in pixels of the images that the DEFAULT weights were trained on."""
    return int(default_weights(name).transforms().crop_size[0])


def least_side(name: str) -> int:
    """Returns the least side in pixels that torchvision says the network takes."""
    return int(max(default_weights(name).meta["min_size"]))


def statistics(name: str) -> tuple[list[float], list[float]]:
    """Returns mean and std, per channel in 0..1, of the input that the DEFAULT weights were trained on.

    Two architectures (GoogLeNet, Inception) turn ImageNet's statistics into 0.5 and 0.5 inside, if told to;
    here the contract says 0.5 and the network is not told.
    """
    if "transform_input" in knobs(name):
        return [0.5] * 3, [0.5] * 3
    transforms = default_weights(name).transforms()
    return list(transforms.mean), list(transforms.std)


def head_child(net: nn.Module) -> str:
    """Returns the name of the top-level child that ends in the classifying layer: the last one."""
    return list(net._modules)[-1]


def split(net: nn.Module, *, own_head: bool) -> nn.Module:
    """Takes the head out of a classifier, in place; the classifier then returns pooled features (B, D).

    One rule for all: within the last top-level child, the head begins at the first Linear or Conv2d. What
    stands before it (norms, pooling, flatten) stays, dropout goes. The names of the weights stay as they were:
    `classifier.1.weight` is the head's `1.weight`, `fc.weight` the head's `weight`.

    Args:
        net: From `construct`.
        own_head: graftline's head is to follow, so pooling becomes global (VGG and AlexNet keep a 7x7 or 6x6
            grid, SqueezeNet pools behind its head) and features do not depend on the size of the image.

    Returns:
        The head.
    """
    name = head_child(net)
    child = net.get_submodule(name)
    parts = list(child.named_children()) or [("", child)]
    first = next(i for i, (_, part) in enumerate(parts) if isinstance(part, (nn.Linear, nn.Conv2d)))
    kept = [(key, part) for key, part in parts[:first] if not isinstance(part, nn.Dropout)]
    tail = [(key, part) for key, part in parts if all(part is not other for _, other in kept)]
    if own_head:
        if isinstance(tail[-1][1], nn.AdaptiveAvgPool2d):
            kept.append((tail[-1][0], nn.AdaptiveAvgPool2d(1)))
        _pool_globally(net)
    setattr(net, name, nn.Sequential(OrderedDict(kept)) if kept else nn.Identity())
    return child if tail[0][0] == "" else nn.Sequential(OrderedDict(tail))


def _pool_globally(net: nn.Module) -> None:
    for key, part in list(net.named_children()):
        if isinstance(part, nn.AdaptiveAvgPool2d):
            setattr(net, key, nn.AdaptiveAvgPool2d(1))


def takes_maps(head: nn.Module) -> bool:
    """Whether a head from `split` begins with a convolution and so wants (B, C, h, w)."""
    first = next(part for part in head.modules() if isinstance(part, (nn.Linear, nn.Conv2d)))
    return isinstance(first, nn.Conv2d)
