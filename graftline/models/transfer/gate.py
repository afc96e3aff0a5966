"""Transfer of weights from a source to a network, with a list of all weights that are not transferred.

Follows the checkpoint loading of google-research/big_vision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from graftline.models.network import Network
from graftline.models.transfer.keys import fit_positions
from graftline.runtime.errors import RefusedError

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Transferred:
    """The names of the weights that were transferred, reinitialized and dropped."""

    carried: list[str] = field(default_factory=list)
    """Transferred weights, including buffers."""
    reinitialised: list[str] = field(default_factory=list)
    """Weights of the network that were reinitialized because the source has no match or they were not requested."""
    dropped: list[str] = field(default_factory=list)
    """Weights of the source that were not transferred."""
    notes: list[str] = field(default_factory=list)
    """Messages about resized position embeddings."""


def transfer(
    state: Mapping[str, Tensor], network: Network, *, head: bool = False, only: Iterable[str] | None = None
) -> Transferred:
    """Copies a source's weights into a network.

    The source must have every weight of the backbone in the same shape. Parts of the source that the network does not
    have (auxiliary heads, a projection head) are dropped and listed. Additional layers inside a part that both have
    are an error, because they indicate another architecture. Position embeddings for another image size are resized.

    Args:
        state: The source's weights, with the names of `Network.state_dict()`: `backbone.` and `head.`.
        network: The network, modified in place.
        head: Whether to transfer the head as well, which must then fit too. If False, the head is not transferred
            even if its shape fits, because the classes may differ.
        only: Keys of the backbone to transfer (see `layer_keys`); by default all. The others are listed as
            reinitialized.

    Returns:
        The names of the weights by what happened to them.

    Raises:
        RefusedError: The source does not fit. The message lists the weights that differ on both sides.
    """
    state, notes = fit_positions(state, network)
    own = network.state_dict()
    prefixes = ("backbone.", "head.") if head else ("backbone.",)
    wanted = [key for key in own if key.startswith(prefixes)]
    _check_fit(state, own, wanted, prefixes)
    chosen = set(wanted) if only is None else {key for key in only} | {k for k in wanted if k.startswith("head.")}
    carried = [key for key in wanted if key in chosen and key in state]
    with torch.no_grad():
        for key in carried:
            own[key].copy_(state[key])
    taken = set(carried)
    return Transferred(
        carried, [key for key in own if key not in taken], [key for key in state if key not in taken], notes
    )


def fill(network: Network, state: Mapping[str, Tensor]) -> None:
    """Assigns a complete state dict to a network without copying the tensors.

    Args:
        network: The network, modified in place.
        state: The weights, with the same names, shapes and dtypes as `network.state_dict()`.

    Raises:
        RefusedError: Names, shapes or dtypes differ.
    """
    own = network.state_dict()
    _refuse_unless(
        not (own.keys() ^ state.keys())
        and all(own[key].shape == state[key].shape and own[key].dtype == state[key].dtype for key in own),
        state,
        own,
    )
    for name, parameter in list(network.named_parameters()):
        _set(network, name, nn.Parameter(state[name], requires_grad=parameter.requires_grad))
    for name, _ in list(network.named_buffers()):
        if name in state:
            _set(network, name, state[name])


def _set(network: nn.Module, name: str, value: Tensor) -> None:
    parent, _, key = name.rpartition(".")
    setattr(network.get_submodule(parent), key, value)


def _check_fit(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], wanted: list[str], prefixes: tuple[str, ...]
) -> None:
    missing = [key for key in wanted if key not in state and not key.endswith(_COUNTER)]
    other = [key for key in wanted if key in state and state[key].shape != own[key].shape]
    parts = {_part(key) for key in wanted}
    extra = [key for key in state if key.startswith(prefixes) and key not in own and _part(key) in parts]
    strange = extra or [key for key in state if key not in own]  # all that the network does not have
    _refuse_unless(
        not (missing or other or extra),
        {key: state[key] for key in [*strange, *other]},
        {key: own[key] for key in [*missing, *other]},
    )


def _part(key: str) -> str:
    # Returns, for example, `backbone.layer1` for `backbone.layer1.0.conv1.weight`.
    return ".".join(key.split(".")[:2])


def _refuse_unless(fits: bool, source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    if fits:
        return
    raise RefusedError(
        "source weights: they do not fit the network. "
        f"{_listed('Only or otherwise in the source', source)}; "
        f"{_listed('only or otherwise in the network', own)}. Give the backbone that the weights are of"
    )


def _listed(title: str, side: Mapping[str, Tensor]) -> str:
    first = ", ".join(f"{key} {tuple(value.shape)}" for key, value in list(side.items())[:4])
    return f"{title} ({len(side)}): {first or 'nothing'}{f' and {len(side) - 4} more' if len(side) > 4 else ''}"
