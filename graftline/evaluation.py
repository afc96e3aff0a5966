"""The metrics artifact: figures of the chosen model, the control and the baselines on the same test split.

Folder: `predictions.safetensors` (`labels` (N,), `chosen.seedS` and `control.seedS` logits (N, K) float32),
`manifest.json`.
"""

from typing import Literal

from pydantic import BaseModel

from graftline.manifest import Manifest

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


class Side(BaseModel):
    """The chosen candidate's or the control's cost and figures, seed by seed."""

    name: str
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
    """accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1, loss, ece of the chosen model, first seed."""
    per_class: list[dict[str, float | int | str]]
    """class, precision, recall, f1, examples."""
    confusion: list[list[int]]
    """Rows are true classes, columns predicted."""
    control_test: dict[str, Figure]
    baselines: dict[str, Figure]
    """`majority` and `forest`: accuracy."""
    best: str
    """Which of chosen, control, majority, forest has the highest accuracy."""
    gain: Gain
    equal_cost: EqualCost | None
    calibration: Calibration
    examples: int
