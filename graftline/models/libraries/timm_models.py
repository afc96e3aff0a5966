"""Construction of timm's models by name, `timm/NAME`, without a head and without downloads (extra `timm`).

This includes image encoders such as DINOv2, CLIP and SigLIP. Features are the output of timm's models with
`num_classes=0`, pooled by the model itself (class token, mean or attention pooling).
"""

import difflib
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from graftline.models.libraries.shapes import Unfilled
from graftline.runtime.errors import RefusedError

PREFIX = "timm/"
"""Prefix of the names of timm's backbones."""
UNUSED = "source."
"""Prefix of the names of weights that timm's model does not have, such as those of a text encoder."""
CLASS_LISTS = (1000, 10450, 11221, 11821, 21841, 21843)
"""Numbers of outputs of classifiers (ImageNet-1k, -12k, -21k and -22k); other outputs of CLIP are a projection."""


def is_timm(backbone: str) -> bool:
    """Returns whether a name is that of a timm backbone."""
    return backbone.startswith(PREFIX)


def made_by_timm(net: nn.Module) -> bool:
    """Returns whether timm constructed a network."""
    return isinstance(getattr(net, "pretrained_cfg", None), dict)


def check_name(name: str) -> None:
    """Raises an error if timm has no model of this name.

    Raises:
        RefusedError: The name is unknown, in which case the message lists the closest names, or timm is not installed.
    """
    known = _known()
    if (own := name.removeprefix(PREFIX)) in known:
        return
    parts = [other for other in sorted(known) if own and own in other]
    near = difflib.get_close_matches(own, known, n=3, cutoff=0.5) or parts[:3] or sorted(known)[:3]
    raise RefusedError(
        f"backbone: timm has no {own!r}; expected one of its {len(_timm().list_models()):,} names, such "
        f"as {', '.join(PREFIX + other for other in near)}"
    )


def construct(name: str, classes: int, *, side: int | None = None, width: float = 1.0) -> nn.Module:
    """Returns a network with random weights and without a classifier, which maps images to pooled features.

    Args:
        name: Name with the prefix `timm/`. An optional tag after a dot (`.lvd142m`) selects timm's settings for
            particular weights.
        classes: Not used, because the caller adds the head.
        side: Height and width of the images in pixels, for networks whose constructor requires it (ViT, Swin, ...).
        width: Must be 1, because timm's models have no width factor.

    Raises:
        TypeError: The width is not 1.
    """
    if width != 1.0:
        raise TypeError("timm's networks take no width")
    options = {"img_size": side} if side is not None and _fixed_step(name) else {}
    net = _create(name, **options)
    kept = net.state_dict().keys()
    if any(buffer.is_meta for key, buffer in net.named_buffers() if key not in kept):
        with torch.device("cpu"):  # constants outside the state dict need values, even within Unfilled
            net = _create(name, **options)
    return net


def squares(name: str, side: int) -> list[int] | None:
    """Returns candidate sides in ascending order if the network's constructor fixes the image size, else None.

    Args:
        name: Name with the prefix `timm/`.
        side: Minimum side in pixels.
    """
    step = _fixed_step(name)
    if step is None:
        return None
    # Windows and later stages may require larger multiples than small patches; the native side always works.
    units = [step, *([32] if step < 8 else []), native_side(name)]
    return sorted({-(-side // unit) * unit for unit in units})


def native_side(name: str) -> int:
    """Returns the side in pixels of the images that the weights were trained on."""
    return int(max(_settings(name)["input_size"][1:]))


least_side = native_side


def statistics(name: str) -> tuple[list[float], list[float]]:
    """Returns mean and std, per channel in 0..1, of the input that timm's weights were trained on."""
    settings = _settings(name)
    return list(settings["mean"]), list(settings["std"])


def settings_note(name: str) -> list[str]:
    """Returns a message if timm has several weights for a name without a tag and their input statistics differ."""
    own = name.removeprefix(PREFIX)
    if "." in own:
        return []
    every = [_timm().get_pretrained_cfg(other) for other in _timm().list_models(f"{own}.*", pretrained=True)]
    if len({(each.mean, each.std) for each in every}) < 2:
        return []
    return [
        f"input mean and std are those of {name}.{_settings(name)['tag']}; for other weights of this network give "
        "their tag in `backbone`"
    ]


def default_state(name: str) -> dict[str, Tensor]:
    """Raises an error, because weights are never downloaded from a hub.

    Raises:
        RefusedError: Always.
    """
    raise RefusedError(
        f"source.init: DEFAULT, but weights of {name} would have to come from a hub, which is never "
        "asked; give the path of their .safetensors or .pth file as init"
    )


def licence(name: str) -> str:
    """Returns a description of the license of timm's weights of this name and tag, or an empty string."""
    found = _settings(name).get("license") if "." in name else None
    return f"timm lists {name} under {found}" if found else ""


def translated(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Returns a state dict with graftline's names, converted with timm's checkpoint filter for this network.

    The filter supports timm's names and those of the original files (OpenAI's and OpenCLIP's image encoders, DINOv2,
    FAIR's ConvNeXt, ...), and resizes position embeddings to the network's image size.

    Args:
        state: The state dict of a file.
        net: A network from `construct`.

    Returns:
        The weights, with the prefix `backbone.`, `head.` (for a classifier) or `source.` (for weights that the network
        does not have).
    """
    found = _filtered(state, net)
    own, ends = net.state_dict().keys(), _classifiers(net)
    parents = tuple(end.partition(".")[0] + "." for end in ends)
    top = {key for key in found if key.startswith(parents) and key not in own}
    # If there are several linear layers on the pooled features, none of them is used as the head.
    plain = {key.rpartition(".")[0] for key in top} == {ends[0]} and _is_classes(net, found)
    named: dict[str, Tensor] = {}
    for key, value in found.items():
        if key not in top:
            named[f"backbone.{key}"] = value
        elif plain:
            named[f"head.{key.rpartition('.')[2]}"] = value.flatten(1) if value.dim() > 2 else value
        else:
            named[f"{UNUSED}{key}"] = value
    return named | {f"{UNUSED}{key}": value for key, value in _left_out(state, found).items()}


def resized(state: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> list[str]:
    """Returns a message about the position embeddings that `translated` or `fitted` resized, if any.

    Args:
        state: The weights before the call.
        named: The weights after the call.
    """
    held = {value.data_ptr() for value in state.values()}
    made = [
        f"{key.removeprefix('backbone.')} to {tuple(value.shape)}"
        for key, value in named.items()
        if _last(key) in _POSITIONS and value.data_ptr() not in held
    ]
    more = f" and {len(made) - 1} more" if made[1:] else ""
    return [f"position embeddings interpolated for images of this size: {made[0]}{more}"] if made else []


def fitted(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Returns a state dict with position embeddings resized to the size of a network's images.

    Args:
        state: The weights, with graftline's names (prefix `backbone.`).
        net: A network from `construct`.

    Returns:
        A copy of the state dict. Weights with another shape are replaced if timm's filter can resize them.
    """
    own = {f"backbone.{key}": value.shape for key, value in net.state_dict().items()}
    differ = [key for key, value in state.items() if key in own and value.shape != own[key]]
    if not differ:
        return dict(state)
    mine = {key.removeprefix("backbone."): value for key, value in state.items() if key in own}
    # Some filters detect by a classifier weight that the names are already timm's.
    found = _filtered(mine | {f"{_classifiers(net)[0]}.weight": torch.zeros(1, 1)}, net)
    fit = {key: found.get(key.removeprefix("backbone."), state[key]) for key in differ}
    return {**state, **{key: value for key, value in fit.items() if value.shape == own[key]}}


_POSITIONS = ("pos_embed", "relative_position_bias_table", "rel_pos")


def _left_out(state: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights that the filter ignored, without those that it only resized."""
    held, kept = ({value.data_ptr() for value in side.values()} for side in (state, found))
    made = {_last(key) for key, value in found.items() if value.data_ptr() not in held}
    return {key: value for key, value in state.items() if value.data_ptr() not in kept and _last(key) not in made}


def _last(key: str) -> str:
    return "pos_embed" if key.endswith("visual.positional_embedding") else key.rpartition(".")[2]


def _filtered(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    architecture = cast(Any, net).pretrained_cfg["architecture"]
    homes = [_timm().models.model_entrypoint(architecture).__module__, type(net).__module__]
    filters = [found for home in homes if (found := getattr(sys.modules[home], "checkpoint_filter_fn", None))]
    if not filters:
        return dict(state)
    options = {}
    if any("gamma_" in key for key in state) and "adapt_layer_scale" in inspect.signature(filters[0]).parameters:
        options["adapt_layer_scale"] = True  # DeiT III's names
    try:
        found = filters[0](dict(state), net, **options)
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError, AssertionError):
        return dict(state)  # weights of another network; `transfer` reports what does not fit
    return {key: value for key, value in found.items() if isinstance(value, Tensor)}


def _classifiers(net: nn.Module) -> list[str]:
    named = cast(Any, net).pretrained_cfg["classifier"]
    return [named] if isinstance(named, str) else list(named or ("head",))


def _is_classes(net: nn.Module, found: Mapping[str, Tensor]) -> bool:
    weight = found.get(f"{_classifiers(net)[0]}.weight")
    clip = "clip" in cast(Any, net).pretrained_cfg["architecture"]
    return weight is not None and (not clip or len(weight) in CLASS_LISTS)


@cache
def _fixed_step(name: str) -> int | None:
    """Returns the number that must divide the side if the constructor fixes it, else None."""
    with Unfilled():
        net: Any = _create(name)
    if not any("img_size" in inspect.signature(kind).parameters for kind in type(net).__mro__[:-1]):
        return None
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
    return int(max(patch)) if isinstance(patch, tuple | list) else int(patch or 32)


def _create(name: str, **options: Any) -> nn.Module:
    own = name.removeprefix(PREFIX)
    return cast(nn.Module, _timm().create_model(own, pretrained=False, num_classes=0, **options))


@cache
def _settings(name: str) -> dict[str, Any]:
    check_name(name)
    return cast(dict[str, Any], _timm().get_pretrained_cfg(name.removeprefix(PREFIX)).to_dict())


@cache
def _known() -> frozenset[str]:
    return frozenset([*_timm().list_models(), *_timm().list_models(pretrained=True)])


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise RefusedError(
            "backbone: timm's networks need the extra `timm`, which is not installed; pip install 'graftline[timm]'"
        ) from None
    return timm
