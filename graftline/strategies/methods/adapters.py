"""Low-rank adapters: selecting layers, inserting adapters and merging them (Hu et al. 2022)."""

import importlib
import re
from typing import Any

import torch
from torch import nn

from graftline.models.input_contract import InputContract
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.training.loop.freezing import freeze

ADAPTER = "lora"


def adaptable(network: Network, contract: InputContract) -> list[str]:
    """Returns the names of the backbone's linear layers and ungrouped 1x1 convolutions.

    Layers whose forward method is never called, such as those in `torch.nn.MultiheadAttention`, are excluded: an
    adapter on them would have no effect.
    """
    called: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, part in network.backbone.named_modules()
        if _is_pointwise(part)
    ]
    with torch.no_grad():
        network.eval()
        network.backbone(torch.zeros(1, contract.channels, contract.height, contract.width))
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(called))


def _is_pointwise(part: nn.Module) -> bool:
    if type(part) is nn.Conv2d:
        return part.groups == 1 and part.kernel_size == (1, 1)
    return type(part) is nn.Linear


def insert_adapters(network: Network, names: list[str], *, rank: int, alpha: float) -> None:
    """Inserts an adapter into each named layer of the backbone, in place, and freezes the rest of the backbone.

    Args:
        network: Network on the CPU.
        names: Names of layers, from `adaptable`.
        rank: Rank of each adapter.
        alpha: Scale; the output of each adapter is multiplied by alpha / rank.

    Raises:
        RefusedError: peft is not installed.
    """
    peft = _peft()
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules="|".join(re.escape(name) for name in names),
    )
    freeze([network.backbone])
    peft.inject_adapter_in_model(config, network.backbone, adapter_name=ADAPTER)


def merge_adapters(network: Network) -> None:
    """Merges each adapter into its layer's weights and restores the plain, trainable layer, in place."""
    layer = importlib.import_module("peft.tuners.tuners_utils").BaseTunerLayer
    for name, part in [(name, part) for name, part in network.backbone.named_modules() if isinstance(part, layer)]:
        part.merge()
        plain: Any = part.get_base_layer()
        plain.weight.requires_grad_(True)
        network.backbone.set_submodule(name, plain)


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError:
        raise RefusedError(
            "strategies.lora: it needs peft, which is not installed; run: pip install 'graftline[lora]'"
        ) from None
