"""`lora`: frozen weights, low-rank changes to linear layers and 1x1 convolutions (Hu et al. 2022), merged at the end.

A change is B A x alpha / rank, with B zero at first, so that training starts from the source's network. Depthwise
convolutions are left alone: there a change of rank 1 has more numbers than the layer itself. Biases, norm layers and
their running statistics stay bit for bit the source's.
"""

import importlib
import re
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from graftline.config.strategies import Lora
from graftline.models.checkpoint import InputContract
from graftline.models.devices import seeded
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.carry import carried, train_groups
from graftline.training.contract import StrategyInput, StrategyResult, predictor
from graftline.training.loop.freezing import freeze, trained_parameters
from graftline.training.loop.optimizer import parameter_group
from graftline.training.recipe import rates

ADAPTER = "lora"


def train(task: StrategyInput) -> StrategyResult:
    """Trains the changes, at the rate of new layers, and the whole head; the result is the plain network.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: peft is not installed, or the backbone has no layer that can take a change.
        DivergedError: The loss did.
    """
    options = task.asked(Lora)
    start = carried(task, head=True)
    names = adaptable(start.network, start.contract)
    if not names:
        raise RefusedError(
            f"strategies.lora: the backbone of {task.start.manifest.backbone} has no linear layer and "
            "no 1x1 convolution; expected one that has, such as mlp, mobilenet_v2 or resnet50, or a "
            "strategy that serves every backbone, such as full"
        )
    with seeded(task.seed, ADAPTER):
        adapt(start.network, names, options)
    rate = rates(task.training)
    groups = [
        parameter_group([start.network.head], rate.carried if start.head else rate.new),
        parameter_group([start.network.backbone], rate.new),
    ]
    _, trained = train_groups(task, start.network, start.contract, groups)
    count = trained_parameters(start.network)
    merge(start.network)
    told = f"changes of rank {options.rank} to {len(names)} layers, merged; running statistics are the source's"
    return replace(
        trained,
        predict=predictor(start.network, start.contract, task.device),
        trained_parameters=count,
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=[*start.notes, told],
    )


def adaptable(network: Network, contract: InputContract) -> list[str]:
    """Returns the backbone's linear layers and 1x1 convolutions without groups, by name.

    Layers whose weights are read but which are never called (those inside torch's attention) are not among them: a
    change beside them would change nothing.
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


def adapt(network: Network, names: list[str], options: Lora) -> None:
    """Puts a change beside each named layer of the backbone, in place; all else there is frozen.

    Args:
        network: On the CPU.
        names: From `adaptable`.
        options: Rank and alpha.

    Raises:
        RefusedError: peft is not installed.
    """
    peft = _peft()
    config = peft.LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules="|".join(re.escape(name) for name in names),
    )
    freeze([network.backbone])
    peft.inject_adapter_in_model(config, network.backbone, adapter_name=ADAPTER)


def merge(network: Network) -> None:
    """Adds each change to its layer's weights and puts the plain layer back, in place, trainable."""
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
