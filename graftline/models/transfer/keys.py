"""Conversion of state dict keys to graftline's names, and interpolation of ViT's position embeddings."""

import math
import re
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor
from torchvision.models.vision_transformer import interpolate_embeddings

from graftline.models.libraries import timm_models
from graftline.models.libraries.torchvision_models import head_child
from graftline.models.network import Network

OLD = {
    r"(denselayer\d+\.(?:norm|conv))\.([12])\.": r"\1\2.",
    r"\.mlp\.linear_1\.": ".mlp.0.",
    r"\.mlp\.linear_2\.": ".mlp.3.",
}
"""Old names in weight files published by torchvision, as regular expressions, and their current names."""
POSITIONS = "encoder.pos_embedding"
"""Name of the position embeddings in torchvision's ViT."""


def ours(state: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Returns a state dict with the names of `network.state_dict()`.

    Args:
        state: The state dict of a torchvision classifier (possibly with old names) or of a model that timm can read,
            or one that already has graftline's names.
        network: A network of the same architecture.

    Returns:
        The weights, with the prefixes `backbone.` and `head.`. Unknown names get the prefix `backbone.`.
    """
    if any(key.startswith("backbone.") for key in state):
        return dict(state)
    if timm_models.made_by_timm(network.backbone):
        return timm_models.translated(state, network.backbone)
    known = network.state_dict().keys()
    end = head_child(network.backbone) + "."
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        for old, new in OLD.items():
            key = re.sub(old, new, key)
        belongs = key.startswith(end) and f"backbone.{key}" not in known
        named[f"head.{key.removeprefix(end)}" if belongs else f"backbone.{key}"] = value
    return named


def fit_positions(state: Mapping[str, Tensor], network: Network) -> tuple[dict[str, Tensor], list[str]]:
    """Interpolates the position embeddings of a ViT if the network takes images of another size.

    Args:
        state: The weights, with graftline's names.
        network: The network that receives the weights.

    Returns:
        The weights and a list of messages, which is empty if nothing was interpolated.
    """
    state = dict(state)
    if timm_models.made_by_timm(network.backbone):
        fitted = timm_models.fitted(state, network.backbone)
        return fitted, timm_models.resized(state, fitted)
    key = f"backbone.{POSITIONS}"
    own, given = network.state_dict().get(key), state.get(key)
    if own is None or given is None or own.shape == given.shape or own.shape[2:] != given.shape[2:]:
        return state, []
    there, wanted = math.isqrt(given.shape[1] - 1), math.isqrt(own.shape[1] - 1)
    if there**2 != given.shape[1] - 1:
        return state, []
    # With a patch size of 1, the image size equals the number of patches per side.
    state[key] = interpolate_embeddings(wanted, 1, OrderedDict({POSITIONS: given}))[POSITIONS]
    return state, [f"position embeddings interpolated from {there}x{there} to {wanted}x{wanted} patches"]
