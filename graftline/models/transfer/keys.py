"""The names of other people's weights made ours, and ViT's positions fitted to another image size."""

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
"""Names in files that torchvision itself publishes, and what its networks call them now."""
POSITIONS = "encoder.pos_embedding"


def ours(state: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Names a state dict's weights as `network.state_dict()` does.

    Args:
        state: A torchvision classifier's state dict, old names included, one that timm can read, or one with our names
            already.
        network: Of the same architecture.

    Returns:
        Names with `backbone.` and `head.` in front; what the network does not know counts as the backbone's.
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
    """Interpolates ViT's position embeddings where the network's images are of another size.

    Args:
        state: With our names.
        network: The network that takes them.

    Returns:
        The state, and a note on what was done, or none.
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
    # A 'patch' of 1 makes the image size the number of patches a side.
    state[key] = interpolate_embeddings(wanted, 1, OrderedDict({POSITIONS: given}))[POSITIONS]
    return state, [f"position embeddings interpolated from {there}x{there} to {wanted}x{wanted} patches"]
