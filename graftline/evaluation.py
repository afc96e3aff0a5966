"""The metrics artifact: figures of the chosen model, the control and the baselines on the same test split.

Folder: `predictions.safetensors` (`labels` (N,) int64, `chosen.seedS` and `control.seedS` logits (N, K) float32,
`majority` and `forest` predicted classes (N,) int64), `manifest.json`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from graftline.errors import RefusedError
from graftline.manifest import Manifest, read

PREDICTIONS = "predictions.safetensors"

Verdict = Literal["positive", "negative", "none", "undecided"]


class Figure(BaseModel):
    """A number with its 95% interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Gain(BaseModel):
    """Mean over seeds of chosen minus control on the same test images."""

    value: float
    low: float
    high: float
    seeds: int
    verdict: Verdict
    method: str
    """How the interval was made, in words."""
    reasons: list[str]
    """Why the verdict is this one and not a stronger one."""

    def __str__(self) -> str:
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (f"{100 * self.value:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}] over {seeds}: "
                f"{self.verdict}")


class Side(BaseModel):
    """The chosen candidate's or the control's cost and figures, seed by seed."""

    name: str
    seeds: list[int] = []
    """The first one is the model that ships; the lists below follow this order."""
    accuracy_by_seed: list[float]
    presentations: list[int]
    seconds: list[float]
    converged: bool | None = None
    learning_rate: float | None = None


class EqualCost(BaseModel):
    """The gain where the source's training is charged to the transfer."""

    source_presentations: int
    transfer_presentations: int
    """Source and target together."""
    control_presentations: int
    value: float | None
    """None where the control neither had as many presentations nor had converged."""
    note: str


class Calibration(BaseModel):
    """Temperature fitted on validation, and what it does on test."""

    temperature: float
    ece_before: float
    ece_after: float
    fitted_on: str


class Evaluation(Manifest):
    """Everything that was measured on the test split."""

    task: str = "classification"
    classes: list[str]
    dataset_digest: str
    chosen: Side
    control: Side
    test: dict[str, Figure]
    """accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1, loss, ece of the chosen model, first seed.

    Loss and ece are of the calibrated probabilities, which ship; macro means are over the classes that test holds.
    """
    per_class: list[dict[str, float | int | str]]
    """class, precision, recall, f1, examples."""
    confusion: list[list[int]]
    """Rows are true classes, columns predicted."""
    control_test: dict[str, Figure]
    """The same figures of the control, calibrated by its own temperature."""
    baselines: dict[str, Figure]
    """`majority` and `forest`: accuracy."""
    best: str
    """Which of chosen, control, majority, forest has the highest accuracy."""
    gain: Gain
    equal_cost: EqualCost | None
    calibration: Calibration
    examples: int
    notes: list[str] = []
    """What a reader should know: seeds left out, a forest trained on a part, a temperature that was not fitted."""


@dataclass(frozen=True)
class Predictions:
    """What every model said of every test sample, in the dataset's order."""

    labels: NDArray[np.int64]
    """(N,), the truth."""
    chosen: dict[int, NDArray[np.float32]]
    """Seed to logits (N, K), before any temperature."""
    control: dict[int, NDArray[np.float32]]
    """Likewise."""
    baselines: dict[str, NDArray[np.int64]]
    """`majority` and `forest`: predicted classes (N,)."""


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Writes `predictions.safetensors` into an artifact's folder, before its manifest."""
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[np.int64] | NDArray[np.float32]] = {"labels": predictions.labels, **predictions.baselines}
    for side, logits in (("chosen", predictions.chosen), ("control", predictions.control)):
        arrays |= {f"{side}.seed{seed}": values.astype(np.float32) for seed, values in logits.items()}
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, folder / PREDICTIONS)


def read_predictions(folder: Path) -> Predictions:
    """Reads `predictions.safetensors`.

    Raises:
        RefusedError: Missing, not safetensors, without labels, or with arrays that do not fit the labels.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / PREDICTIONS
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RefusedError(f"{path}: not readable: {error}; run evaluate again") from None
    labels = arrays.pop("labels", np.zeros(0, np.int64))
    if bad := [name for name, values in arrays.items() if not len(values) == len(labels) > 0]:
        raise RefusedError(f"{path}: {bad[0]!r} has {len(arrays[bad[0]])} rows, `labels` has {len(labels)}; "
                           "run evaluate again")
    sides = {side: {int(name.removeprefix(f"{side}.seed")): values for name, values in arrays.items()
                    if name.startswith(f"{side}.seed")} for side in ("chosen", "control")}
    rest = {name: values for name, values in arrays.items() if "." not in name}
    return Predictions(labels, sides["chosen"], sides["control"], rest)


def shipped_logits(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns test labels (N,) and logits (N, K) of the model that ships, as evaluate scored them.

    Raises:
        RefusedError: The artifact is not whole or lacks that model's logits.
    """
    first = (read(folder, Evaluation).chosen.seeds or [-1])[0]
    predictions = read_predictions(folder)
    if first not in predictions.chosen:
        raise RefusedError(f"{folder / PREDICTIONS}: no logits of the chosen model's first seed {first}; "
                           "run evaluate again")
    return predictions.labels, predictions.chosen[first]
