"""The transfer gate: every weight of a source either matches or is named; nothing is left out in silence.

After google-research/big_vision's loading of checkpoints.
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
    """What became of the weights, by their names in the network."""

    carried: list[str] = field(default_factory=list)
    """Taken over, buffers included."""
    reinitialised: list[str] = field(default_factory=list)
    """The network's, drawn anew: the source had no fit for them, or they were not asked for."""
    dropped: list[str] = field(default_factory=list)
    """The source's, not taken over."""
    notes: list[str] = field(default_factory=list)
    """On position embeddings that were resized."""


def transfer(
    state: Mapping[str, Tensor], network: Network, *, head: bool = False, only: Iterable[str] | None = None
) -> Transferred:
    """Copies a source's weights into a network.

    Every weight of the backbone has to be there in the same shape. A source may have parts that the network
    has not at all (auxiliary heads, a projection head): these are dropped and named. It may not have more
    layers inside a part that the network has: then it is another architecture. Position embeddings of another image
    size are resized.

    Args:
        state: Names as in `Network.state_dict()`: `backbone.` and `head.`.
        network: Changed in place.
        head: Carry the head as well, which then has to fit too. Without it a head is never carried, even if its
            shape fits: equal numbers of classes are not equal classes.
        only: Keys to carry of the backbone (see `layer_keys`); by default all. The rest counts as reinitialised.

    Raises:
        RefusedError: The source does not fit; lists both sides.
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
    """Puts all of a network's own weights into it, as they are: no copy, nothing missing, nothing left over.

    Raises:
        RefusedError: Names, shapes or types differ.
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
    strange = extra or [key for key in state if key not in own]  # nothing alike: then all that the source has
    _refuse_unless(
        not (missing or other or extra),
        {key: state[key] for key in [*strange, *other]},
        {key: own[key] for key in [*missing, *other]},
    )


def _part(key: str) -> str:
    # `backbone.layer1` of `backbone.layer1.0.conv1.weight`.
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
