"""timm's networks by name, `timm/NAME`, behind the extra `timm`: constructed without a head, never downloaded.

Their image towers too (DINOv2, CLIP, SigLIP): features are what timm returns with `num_classes=0`, pooled as the
network itself does it, by class token, mean or attention pool.
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
UNUSED = "source."
"""Stands before names of weights that timm's network has no place for, such as a text tower's."""
CLASS_LISTS = (1000, 10450, 11221, 11821, 21841, 21843)
"""Outputs that are classes (ImageNet-1k, -12k, -21k and -22k); a CLIP tower's other outputs are a projection."""


def is_timm(backbone: str) -> bool:
    """Whether a backbone's name means one of timm's."""
    return backbone.startswith(PREFIX)


def made_by_timm(net: nn.Module) -> bool:
    """Whether timm made a network."""
    return isinstance(getattr(net, "pretrained_cfg", None), dict)


def check_name(name: str) -> None:
    """Refuses a name that timm does not know.

    Raises:
        RefusedError: With the nearest names; or timm is not installed.
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
    """Constructs a network without its classifier, with random weights: images to pooled features.

    Args:
        name: Begins with `timm/`; a tag behind a point (`.lvd142m`) names timm's settings of certain weights.
        classes: Not used: what stands on the features is added outside.
        side: Height and width in pixels, for networks whose constructor asks for it (ViT, Swin, ...).
        width: No network of timm's can change it.

    Raises:
        TypeError: Another width than 1.
    """
    if width != 1.0:
        raise TypeError("timm's networks take no width")
    options = {"img_size": side} if side is not None and _fixed_step(name) else {}
    net = _create(name, **options)
    kept = net.state_dict().keys()
    if any(buffer.is_meta for key, buffer in net.named_buffers() if key not in kept):
        with torch.device("cpu"):  # constants that no state dict brings have to be there, within Unfilled too
            net = _create(name, **options)
    return net


def squares(name: str, side: int) -> list[int] | None:
    """Returns sides that a network whose constructor fixes the image's size may take, from the smallest; else None.

    Args:
        name: Begins with `timm/`.
        side: In pixels, the least wanted.
    """
    step = _fixed_step(name)
    if step is None:
        return None
    # Small patches alone do not tell what windows and later stages divide; the native side goes through in any case.
    units = [step, *([32] if step < 8 else []), native_side(name)]
    return sorted({-(-side // unit) * unit for unit in units})


def native_side(name: str) -> int:
    """Returns the side in pixels of the images that the weights were trained on."""
    return int(max(_settings(name)["input_size"][1:]))


least_side = native_side


def statistics(name: str) -> tuple[list[float], list[float]]:
    """Returns mean and std, per channel in 0..1, of the input that timm's weights of this name were trained on."""
    settings = _settings(name)
    return list(settings["mean"]), list(settings["std"])


def settings_note(name: str) -> list[str]:
    """Returns a note where several weights go by one name, with different input statistics."""
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
    """Refuses: nothing is fetched from a hub.

    Raises:
        RefusedError: Always.
    """
    raise RefusedError(
        f"source.init: DEFAULT, but weights of {name} would have to come from a hub, which is never "
        "asked; give the path of their .safetensors or .pth file as init"
    )


def licence(name: str) -> str:
    """Returns what timm lists as the licence of its weights of this name and tag, or nothing."""
    found = _settings(name).get("license") if "." in name else None
    return f"timm lists {name} under {found}" if found else ""


def translated(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Names a state dict's weights as graftline does, by way of timm's own filter of this network's checkpoints.

    That filter knows timm's names and those of the files it was ported from (OpenAI's and OpenCLIP's image towers,
    DINOv2, FAIR's ConvNeXt, ...), and resizes position embeddings to the network's image size.

    Args:
        state: As found in a file.
        net: From `construct`.

    Returns:
        Names with `backbone.`, `head.` (a classifier with classes) or `source.` (no place for it) in front.
    """
    found = _filtered(state, net)
    own, ends = net.state_dict().keys(), _classifiers(net)
    parents = tuple(end.partition(".")[0] + "." for end in ends)
    top = {key for key in found if key.startswith(parents) and key not in own}
    # More than one linear layer on the pooled features, and none of them can be taken for the head.
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
    """Returns a note on the position embeddings that `translated` or `fitted` resized, if any.

    Args:
        state: Before.
        named: After.
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
    """Resizes position embeddings of a state dict with our names to the size of a network's images.

    Args:
        state: With `backbone.` in front.
        net: From `construct`.

    Returns:
        The state, with other tensors where shapes differed and timm's filter could make them fit.
    """
    own = {f"backbone.{key}": value.shape for key, value in net.state_dict().items()}
    differ = [key for key, value in state.items() if key in own and value.shape != own[key]]
    if not differ:
        return dict(state)
    mine = {key.removeprefix("backbone."): value for key, value in state.items() if key in own}
    # A classifier tells some filters that the names are timm's already.
    found = _filtered(mine | {f"{_classifiers(net)[0]}.weight": torch.zeros(1, 1)}, net)
    fit = {key: found.get(key.removeprefix("backbone."), state[key]) for key in differ}
    return {**state, **{key: value for key, value in fit.items() if value.shape == own[key]}}


_POSITIONS = ("pos_embed", "relative_position_bias_table", "rel_pos")


def _left_out(state: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the filter passed over; what it only resized is not among it."""
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
        return dict(state)  # weights of something else: the transfer gate names what does not fit
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
    """What the side is a multiple of where the constructor fixes it; None where it does not."""
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
