"""Construction of torchvision's classifiers by name, and their split into backbone and head."""

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
    """Returns the names of all torchvision classifiers."""
    return list(torchvision.models.list_models(module=torchvision.models))


def check_name(name: str) -> None:
    """Raises an error if there is no torchvision classifier of this name.

    Raises:
        RefusedError: The name is unknown. The message lists the closest names.
    """
    if name in (known := names()):
        return
    near = difflib.get_close_matches(name, [*known, "mlp", "cnn", "rnn"], n=3) or known[:3]
    raise RefusedError(
        f"backbone: {name!r} is not known; expected mlp, cnn, rnn, timm/NAME or a torchvision "
        f"classifier, such as {', '.join(near)}"
    )


def knobs(name: str) -> set[str]:
    """Returns the names of an architecture's constructor arguments, from its signature."""
    check_name(name)
    architecture = typing.get_type_hints(torchvision.models.get_model_builder(name))["return"]
    return set(inspect.signature(architecture.__init__).parameters)


def default_weights(name: str) -> Any:
    """Returns torchvision's `DEFAULT` weights entry (URL, transforms and metadata) without a download."""
    check_name(name)
    return torchvision.models.get_model_weights(name).DEFAULT


def construct(name: str, classes: int, *, side: int | None = None, width: float = 1.0) -> nn.Module:
    """Returns a torchvision classifier with random weights and without auxiliary heads.

    Args:
        name: Name of a torchvision classifier.
        classes: Number of outputs of its head.
        side: Height and width of the images in pixels, for architectures whose constructor requires it (ViT, MaxViT).
        width: Factor for all widths, for architectures for which `structures` includes the width.
    """
    options: dict[str, Any] = {"num_classes": classes, "weights": None}
    known = knobs(name)
    # Auxiliary heads are not needed here; two constructors warn if init_weights is not set.
    options |= {key: value for key, value in {"aux_logits": False, "init_weights": True}.items() if key in known}
    if side is not None and "image_size" in known:
        options["image_size"] = side
    if side is not None and "input_size" in known:
        options["input_size"] = (side, side)
    if width != 1.0:
        options["width_mult"] = width
    return typing.cast(nn.Module, torchvision.models.get_model_builder(name)(**options))


def step_of(net: Any) -> int | None:
    """Returns the number that must divide the side if the constructor fixes it (ViT, MaxViT), else None."""
    if hasattr(net, "image_size") and hasattr(net, "patch_size"):
        return int(net.patch_size)
    if hasattr(net, "partition_size"):
        return 32 * int(net.partition_size)
    return None


def squares(name: str, side: int) -> list[int] | None:
    """Returns the smallest supported side of at least `side` if the constructor fixes the side, else None."""
    with Unfilled():
        step = step_of(construct(name, 2))
    return None if step is None else [-(-side // step) * step]


def native_side(name: str) -> int:
    """Returns the side in pixels of the images that the DEFAULT weights were trained on."""
    return int(default_weights(name).transforms().crop_size[0])


def least_side(name: str) -> int:
    """Returns the minimum side in pixels according to torchvision's metadata."""
    return int(max(default_weights(name).meta["min_size"]))


def statistics(name: str) -> tuple[list[float], list[float]]:
    """Returns mean and std, per channel in 0..1, of the input that the DEFAULT weights were trained on.

    Two architectures (GoogLeNet, Inception) can convert inputs with ImageNet's statistics to mean and std 0.5
    themselves (`transform_input`). Here, that option is off and the input contract has mean and std 0.5.
    """
    if "transform_input" in knobs(name):
        return [0.5] * 3, [0.5] * 3
    transforms = default_weights(name).transforms()
    return list(transforms.mean), list(transforms.std)


def head_child(net: nn.Module) -> str:
    """Returns the name of the last top-level child, which contains the classification layer."""
    return list(net._modules)[-1]


def split(net: nn.Module, *, own_head: bool) -> nn.Module:
    """Removes the head from a classifier in place, so that the classifier returns pooled features (B, D).

    For all architectures, the head starts at the first Linear or Conv2d in the last top-level child. Earlier modules
    of that child (norms, pooling, flatten) remain, except for dropout. The weights keep their names:
    `classifier.1.weight` is the head's `1.weight`, and `fc.weight` is the head's `weight`.

    Args:
        net: A classifier from `construct`.
        own_head: Whether graftline's head follows. If True, pooling becomes global, so that the number of features
            does not depend on the image size (VGG and AlexNet pool to 7x7 and 6x6, SqueezeNet pools after its head).

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
    """Returns whether a head from `split` starts with a convolution and takes feature maps (B, C, h, w)."""
    first = next(part for part in head.modules() if isinstance(part, (nn.Linear, nn.Conv2d)))
    return isinstance(first, nn.Conv2d)
