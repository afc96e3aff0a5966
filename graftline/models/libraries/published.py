"""Pretrained weights of torchvision, with their class names and license."""

import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from graftline.models.libraries import timm_models, torchvision_models
from graftline.models.libraries.weights import StateDict
from graftline.runtime.errors import RefusedError

SECONDS = 30.0
"""Timeout in seconds for a response of the server."""
LICENCE = "torchvision weights: BSD-3-Clause code; trained on ImageNet-1k, whose images are for non-commercial research"


def default_state(backbone: str) -> StateDict:
    """Returns the state dict of torchvision's DEFAULT weights, from the cache in TORCH_HOME or downloaded.

    Raises:
        RefusedError: The weights are neither cached nor reachable, or the file is damaged.
    """
    if timm_models.is_timm(backbone):
        return timm_models.default_state(backbone)
    weights = torchvision_models.default_weights(backbone)
    file, cache = Path(weights.url).name, f"{torch.hub.get_dir()}/checkpoints"
    try:
        with _impatient():
            state: StateDict = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:
        raise RefusedError(
            f"source.init: DEFAULT needs {file} from torchvision, which could not be fetched ({error}); "
            f"put that file into {cache} (TORCH_HOME moves it), or give a state dict file as init: "
            "the path of a .pth or .safetensors file"
        ) from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RefusedError(
            f"source.init: DEFAULT: {cache}/{file} is damaged ({error}); delete it and run again"
        ) from None
    return state


def default_classes(backbone: str) -> list[str]:
    """Returns the class names of torchvision's DEFAULT weights, in the order of the outputs.

    timm's classifiers with 1,000 outputs have the ImageNet classes in the same order.
    """
    backbone = "resnet18" if timm_models.is_timm(backbone) else backbone
    return list(torchvision_models.default_weights(backbone).meta["categories"])


def default_licence(backbone: str) -> str:
    """Returns a description of the license of the DEFAULT weights."""
    named = torchvision_models.default_weights(backbone).meta.get("license")
    return f"{LICENCE}; these weights under {named}" if named else LICENCE


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
