"""A backbone's layers in order from the input: the units that are transferred, frozen and unfrozen."""

from collections.abc import Iterator

from torch import nn

from graftline.models.network import Network

Part = tuple[str, nn.Module | nn.Parameter]
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def layers(network: Network) -> list[tuple[str, nn.Module]]:
    """Returns the backbone's layers, such that each of its parameters belongs to exactly one layer.

    A layer is a block (residual, inverted residual, transformer, ...) or a single module with weights. Containers and
    stacks of equal blocks are split into their children. A normalization module belongs to the preceding layer, and
    so does a parameter outside of any child module (ViT's class token and position embeddings belong to the layer of
    the patch embedding).

    Returns:
        Pairs of name, as in the backbone (`layer1.0`, `features.3`, `dense1`), and module. The module is the block
        itself or an `nn.ModuleList` of the layer's parts, which shares their tensors and supports `train`, `eval`,
        `requires_grad_` and `parameters`. The head is not included.
    """
    return [(name, _module([part for _, part in parts])) for name, parts in _units(network)]


def layer_keys(network: Network) -> dict[str, list[str]]:
    """Returns the keys of each layer in `network.state_dict()`, including buffers, by the layer's name, in order."""
    every = list(network.backbone.state_dict())
    return {
        name: [f"backbone.{key}" for key in every if any(key == own or key.startswith(f"{own}.") for own, _ in parts)]
        for name, parts in _units(network)
    }


def _units(network: Network) -> list[tuple[str, list[Part]]]:
    units: list[tuple[str, list[Part]]] = []
    waiting: list[Part] = []
    for name, part in _parts(network.backbone, ""):
        joins = isinstance(part, (nn.Parameter, *_NORMS))
        if joins and units:
            units[-1][1].append((name, part))
        elif joins:
            waiting.append((name, part))
        else:
            units.append((name, [*waiting, (name, part)]))
            waiting = []
    return units


def _parts(module: nn.Module, prefix: str) -> Iterator[Part]:
    for key, parameter in module.named_parameters(recurse=False):
        yield prefix + key, parameter
    for key, child in module.named_children():
        if next(child.parameters(), None) is None:
            continue
        if _is_container(child):
            yield from _parts(child, f"{prefix}{key}.")
        else:
            yield prefix + key, child


def _is_container(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.ModuleList) or any(_is_stack(child) for child in module.children())


def _is_stack(module: nn.Module) -> bool:
    # Several blocks of one type whose children have children themselves, such as transformer blocks.
    blocks = list(module.children())
    return (
        type(module) in (nn.Sequential, nn.ModuleList)
        and len(blocks) > 1
        and len({type(b) for b in blocks}) == 1
        and any(True for part in blocks[0].children() for _ in part.children())
    )


def _module(parts: list[nn.Module | nn.Parameter]) -> nn.Module:
    if len(parts) == 1 and isinstance(parts[0], nn.Module):
        return parts[0]
    return nn.ModuleList(nn.ParameterList([part]) if isinstance(part, nn.Parameter) else part for part in parts)
