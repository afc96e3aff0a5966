"""One state as a folder: tensors, values, and a manifest that is written last and marks the folder as complete."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest, canonical_json
from graftline.training.resume.saves import TrainingState

_MISSING = object()
MAX_LISTED_DIFFERENCES = 6
"""Number of differences that an error lists."""
TENSORS, VALUES = "state.safetensors", "values.json"


class StateManifest(Manifest):
    """Manifest of a state."""

    identity: dict[str, Any]
    """Identity of the training that wrote the state."""


class OtherTrainingError(RefusedError):
    """A state belongs to a training with another config, data or code."""


def write_state(folder: Path, identity: dict[str, Any], state: TrainingState) -> None:
    """Writes a state.

    Args:
        folder: A new or empty folder.
        identity: JSON that a training must share to resume from this state.
        state: The state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_without_shared_memory(state.tensors), folder / TENSORS)
    manifest.write_text(folder / VALUES, json.dumps(state.values))
    manifest.write(folder, StateManifest(identity=identity))


def read_state(folder: Path, identity: dict[str, Any]) -> TrainingState:
    """Reads a state and verifies every byte.

    Raises:
        OtherTrainingError: The state belongs to another training; the message lists the differences.
        RefusedError: The state is incomplete or damaged.
    """
    saved = manifest.read(folder, StateManifest, verify=True)
    if changes := differences(saved.identity, identity):
        more = [f"and {len(changes) - MAX_LISTED_DIFFERENCES} more"] if len(changes) > MAX_LISTED_DIFFERENCES else []
        raise OtherTrainingError(
            f"{folder}: this state belongs to another training and cannot be resumed: "
            f"{'; '.join([*changes[:MAX_LISTED_DIFFERENCES], *more])}. "
            "Use another checkpoint location, or the config and data of that training"
        )
    try:
        return TrainingState(json.loads((folder / VALUES).read_text(encoding="utf-8")), load_file(folder / TENSORS))
    except (ValueError, OSError, SafetensorError) as error:
        raise RefusedError(f"{folder}: cannot be read ({error}); remove it") from None


def differences(saved: Any, current: Any, path: str = "") -> list[str]:
    """Lists the differences of two JSON values, one phrase per key."""
    if isinstance(saved, dict) and isinstance(current, dict):
        return [
            line
            for key in sorted(saved.keys() | current.keys())
            for line in differences(saved.get(key, _MISSING), current.get(key, _MISSING), f"{path}.{key}".lstrip("."))
        ]
    if saved == current:
        return []
    was, now = ("missing" if value is _MISSING else canonical_json(value) for value in (saved, current))
    return [f"{path} was {was}, is {now}"]


def _without_shared_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns contiguous tensors on the CPU, cloned where two share memory, which safetensors refuses."""
    seen: set[int] = set()
    separate: dict[str, Tensor] = {}
    for key, value in tensors.items():
        plain = value.detach().cpu().contiguous()
        address = plain.untyped_storage().data_ptr()
        separate[key] = plain.clone() if address in seen else plain
        seen.add(address)
    return separate
