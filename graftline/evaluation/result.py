"""The metrics artifact: the chosen model, the control and the baselines on the same test split.

Folder: `predictions.safetensors` (`labels` (N,) int64, `chosen.seedS` and `control.seedS` logits (N, K) float32,
`majority` and `forest` predicted classes (N,) int64; for other tasks see `Predictions`), `manifest.json`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, Field

from graftline.config import DEFAULT_TASK
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest, read

PREDICTIONS = "predictions.safetensors"

Verdict = Literal["positive", "negative", "none", "undecided"]


@dataclass(frozen=True)
class Unit:
    """Unit and precision in which a gain in some metric is printed."""

    factor: float
    digits: int
    name: str
    figure: str
    """Name of the compared metric."""

    def say(self, value: float) -> str:
        """Formats a gain with its sign: 0.09 of accuracy as `+9.0`."""
        return f"{self.factor * value:+.{self.digits}f}"


UNITS = {
    "accuracy": Unit(100, 1, "points", "accuracy"),
    "rmse": Unit(1, 3, "deviations", "RMSE"),
    "macro_ap": Unit(100, 1, "points", "macro average precision"),
}
"""Unit by main metric. A deviation is the standard deviation of the test labels."""


class Estimate(BaseModel):
    """An estimate with its 95% confidence interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Gain(BaseModel):
    """How much better the chosen candidate is than the control on the same test samples, mean over seeds.

    Accuracy and macro average precision: chosen minus control. RMSE: control minus chosen, in deviations of the test
    labels, mean over the outputs. Positive means that the transfer is better.
    """

    measure: str = "accuracy"
    """A key of `UNITS`."""
    value: float
    low: float
    high: float
    seeds: int
    verdict: Verdict
    method: str
    """Description of how the interval was computed."""
    reasons: list[str]
    """Reasons for the verdict, and against a stronger one."""

    def __str__(self) -> str:
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (
            f"{self.unit.say(self.value)} {self.unit.name} [{self.unit.say(self.low)}, "
            f"{self.unit.say(self.high)}] over {seeds}: {self.verdict}"
        )

    @property
    def unit(self) -> Unit:
        """Unit of the metric."""
        return UNITS[self.measure]


class ConfirmationResults(BaseModel):
    """Cost and main metric of the chosen candidate or of the control by seed."""

    name: str
    seeds: list[int] = []
    """The first one is the released model's; the lists below follow this order."""
    accuracy_by_seed: list[float] = []
    """Accuracy, where it is the main metric."""
    score_by_seed: list[float] = []
    """Main metric of other tasks."""
    examples_seen: list[int] = Field(validation_alias=AliasChoices("examples_seen", "presentations"))
    seconds: list[float]
    converged: bool | None = None
    learning_rate: float | None = None


class EqualCost(BaseModel):
    """The gain if the source's training counts as cost of the transfer."""

    source_examples_seen: int = Field(validation_alias=AliasChoices("source_examples_seen", "source_presentations"))
    transfer_examples_seen: int = Field(
        validation_alias=AliasChoices("transfer_examples_seen", "transfer_presentations")
    )
    """Source and target together."""
    control_examples_seen: int = Field(validation_alias=AliasChoices("control_examples_seen", "control_presentations"))
    value: float | None
    """None where the control has neither seen as many examples nor converged."""
    note: str


class Calibration(BaseModel):
    """Temperature fitted on validation, and the calibration error on test before and after."""

    temperature: float
    ece_before: float
    ece_after: float
    fitted_on: str


class Evaluation(Manifest):
    """All measurements on the test split."""

    task: str = DEFAULT_TASK
    classes: list[str]
    dataset_digest: str
    chosen: ConfirmationResults
    control: ConfirmationResults
    test: dict[str, Estimate]
    """accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1, loss, ece of the chosen model, first seed.

    Loss and ece are of the calibrated probabilities; macro means are over the classes that test holds.
    Regression: rmse, mae, r2, means over the outputs; of several outputs in deviations of their training labels, of
    one in its own unit. Multilabel: macro_ap, micro_ap, macro_f1, exact, loss, ece.
    """
    per_class: list[dict[str, float | int | str]]
    """class, precision, recall, f1, examples. Multilabel: also ap, ap_low, ap_high. Regression, a row an output in its
    own unit: class, rmse, mae, r2, examples."""
    confusion: list[list[int]]
    """Rows are true classes, columns predicted; empty for other tasks."""
    control_test: dict[str, Estimate]
    """The same metrics of the control, calibrated by its own temperature."""
    baselines: dict[str, Estimate]
    """`majority` and `forest`: accuracy. Regression: `mean`, `forest`: rmse. Multilabel: `prior`,
    `forest`: macro_ap."""
    best: str
    """Best of chosen, control and the baselines by that metric."""
    gain: Gain
    equal_cost: EqualCost | None
    calibration: Calibration | None
    """None for regression, which has no probabilities."""
    examples: int
    notes: list[str] = []
    """Notes for the report: excluded seeds, a forest trained on a subset, a temperature that was not fitted."""

    @property
    def temperature(self) -> float:
        """What logits are divided by; 1 where there are none."""
        return self.calibration.temperature if self.calibration else 1.0


@dataclass(frozen=True)
class Predictions:
    """Predictions of all models on the test split, in the dataset's order."""

    labels: NDArray[Any]
    """(N,) classes; regression (N, D) values; multilabel (N, K) of 0 and 1."""
    chosen: dict[int, NDArray[np.float32]]
    """Seed to logits (N, K), before any temperature, or values (N, D)."""
    control: dict[int, NDArray[np.float32]]
    """The same for the control."""
    baselines: dict[str, NDArray[Any]]
    """`majority` and `forest`: predicted classes (N,). Regression: `mean` and `forest`, values. Multilabel: `prior` and
    `forest`, logits (N, K)."""


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Writes `predictions.safetensors` into an artifact's folder, before its manifest."""
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {"labels": predictions.labels, **predictions.baselines}
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
        raise RefusedError(
            f"{path}: {bad[0]!r} has {len(arrays[bad[0]])} rows, `labels` has {len(labels)}; run evaluate again"
        )
    sides = {
        side: {
            int(name.removeprefix(f"{side}.seed")): values
            for name, values in arrays.items()
            if name.startswith(f"{side}.seed")
        }
        for side in ("chosen", "control")
    }
    rest = {name: values for name, values in arrays.items() if "." not in name}
    return Predictions(labels, sides["chosen"], sides["control"], rest)


def chosen_outputs(folder: Path) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Returns test labels and the released model's outputs as evaluate scored them: logits (N, K), or values.

    Raises:
        RefusedError: The artifact is incomplete or lacks that model's logits.
    """
    first = (read(folder, Evaluation).chosen.seeds or [-1])[0]
    predictions = read_predictions(folder)
    if first not in predictions.chosen:
        raise RefusedError(
            f"{folder / PREDICTIONS}: no logits of the chosen model's first seed {first}; run evaluate again"
        )
    return predictions.labels, predictions.chosen[first]
