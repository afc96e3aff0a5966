"""One state as a folder: tensors, values, and a manifest that is written last, so that its presence means 'whole'."""

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

_NOTHING = object()
MOST = 6
"""Differences that a refusal lists."""
TENSORS, VALUES = "state.safetensors", "values.json"


class StateManifest(Manifest):
    """Says which training a state is of."""

    identity: dict[str, Any]


def write(folder: Path, identity: dict[str, Any], saved: TrainingState) -> None:
    """Writes a state.

    Args:
        folder: New or empty.
        identity: What a training must have in common with this one to go on from here, as JSON.
        saved: The state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_apart(saved.tensors), folder / TENSORS)
    manifest.write_text(folder / VALUES, json.dumps(saved.values))
    manifest.write(folder, StateManifest(identity=identity))


def read(folder: Path, identity: dict[str, Any]) -> TrainingState:
    """Reads a state, every byte checked.

    Raises:
        RefusedError: Not whole, damaged, or of another training: then it lists the differences.
    """
    found = manifest.read(folder, StateManifest, verify=True)
    if apart := differences(found.identity, identity):
        more = [f"and {len(apart) - MOST} more"] if len(apart) > MOST else []
        raise RefusedError(
            f"{folder}: the state of another training, which cannot be gone on with here: "
            f"{'; '.join([*apart[:MOST], *more])}. "
            "Give another place, or the config and data that it was made with"
        )
    try:
        return TrainingState(json.loads((folder / VALUES).read_text(encoding="utf-8")), load_file(folder / TENSORS))
    except (ValueError, OSError, SafetensorError) as error:
        raise RefusedError(f"{folder}: cannot be read ({error}); remove it") from None


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Lists where two JSON values differ, a phrase a place."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            line
            for key in sorted(theirs.keys() | ours.keys())
            for line in differences(theirs.get(key, _NOTHING), ours.get(key, _NOTHING), f"{path}.{key}".lstrip("."))
        ]
    if theirs == ours:
        return []
    was, now = ("nothing" if value is _NOTHING else canonical_json(value) for value in (theirs, ours))
    return [f"{path} was {was}, is {now}"]


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses two names of one memory.
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for key, value in tensors.items():
        plain = value.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        apart[key] = plain.clone() if place in seen else plain
        seen.add(place)
    return apart
