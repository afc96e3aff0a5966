"""Readers of state dict files: `.pth` without execution of pickled code, and `.safetensors`."""

import pickle
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graftline.runtime.errors import RefusedError

StateDict = dict[str, Tensor]

WRAPPERS = ("state_dict", "model")
"""Keys that training scripts use for the state dict in a `.pth` file."""


def read_state(path: Path) -> StateDict:
    """Reads a state dict file.

    Args:
        path: Path of a `.safetensors` file or of a file that `torch.load(weights_only=True)` can read. A state dict
            nested under the key `state_dict` or `model` is unwrapped, and a `module.` prefix (DataParallel) is removed.

    Raises:
        RefusedError: The file is not a state dict, contains values other than tensors, or has NaN or infinite values.
    """
    state = read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RefusedError(f"{path}: {key} has NaN or infinite values; give weights of a training that went well")
    return state


def read_safetensors(path: Path) -> StateDict:
    """Reads a safetensors file.

    Raises:
        RefusedError: The file is incomplete or invalid (truncated or overlapping data, or a header above 100 MB).
    """
    try:
        state: StateDict = load_file(path)
    except SafetensorError as error:
        raise RefusedError(f"{path}: not a whole safetensors file ({error}); fetch or make it again") from None
    return state


def _read_pth(path: Path) -> StateDict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        struct.error,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
    ) as error:
        raise RefusedError(
            f"{path}: not a state dict that can be read without running code from it "
            f"({type(error).__name__}); "
            "save it again with torch.save(model.state_dict(), ...)"
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise RefusedError(f"{path}: holds {type(content).__name__}; expected a state dict, names to tensors")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise RefusedError(f"{path}: {key!r} is {type(value).__name__}; expected a state dict, names to tensors")
    return dict(content)
