"""The record of one problem kind: everything that the program needs to know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.data.labels.label_type import LabelType
from graftline.evaluation.arrays import Floats, Labels
from graftline.evaluation.metrics import Family
from graftline.evaluation.result import Calibration, Estimate
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.same_model import ExportedOutputs

if TYPE_CHECKING:
    from torch import Tensor

    from graftline.evaluation.torch_functions import Loss

LabeledOutputs = tuple[Floats, NDArray[Any]]
"""Outputs and labels of the same samples."""


class EstimateMetrics(Protocol):
    """Type of `TaskKind.estimate_metrics`."""

    def __call__(
        self, outputs: Floats, truth: Truth, /, *, temperature: float, seed: int
    ) -> tuple[dict[str, Estimate], list[dict[str, Any]]]:
        """Returns all metrics with their intervals, and a row per class, output or label."""


class GainOver(Protocol):
    """Type of `TaskKind.difference`."""

    def __call__(self, first: NDArray[Any], second: NDArray[Any], truth: Truth, /, *, seed: int) -> Difference:
        """Returns how much better `first` is; outputs (S, N, ...), or predictions of a baseline."""


class PredictBaselines(Protocol):
    """Type of `TaskKind.baseline_predictions`."""

    def __call__(self, data: Dataset, /, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Returns the baselines' predictions for test, and notes for the report."""


class ScoreBaseline(Protocol):
    """Type of `TaskKind.baseline_score`."""

    def __call__(self, predictions: NDArray[Any], truth: Truth, /, *, seed: int) -> Estimate:
        """Returns the main metric of a baseline's predictions."""


@dataclass(frozen=True)
class ReportWords:
    """How reports and the model card describe a problem kind."""

    nouns: tuple[str, str]
    """What is told apart, one and many: `class`, `classes`."""
    validation_metric: str
    """Name of the metric that candidates are chosen by."""
    row_metric: tuple[str, str]
    """Key and name of the metric that rows of single classes, outputs or labels are sorted by."""
    model_card: str
    """What the model does, up to the number of classes."""
    limits: str
    """A sentence on what the model cannot answer."""


@dataclass(frozen=True)
class TaskKind:
    """A problem kind. Outputs are finite: logits (N, K), or values (N, D) where labels are numbers."""

    name: str
    label_type: LabelType
    words: ReportWords
    metrics: Mapping[str, Family]
    """Families of metrics by name."""
    main_metric: str
    """Metric that models are compared by on test, a key of `evaluation.result.UNITS`."""
    lower_is_better: bool
    trivial_baseline: str
    """Baseline that ignores the samples."""
    loss_names: tuple[str, ...]
    """Values of `finetune.loss`; `cross_entropy`, the first, stands for the kind's own loss."""
    losses: "Callable[[], dict[str, Loss]]"
    """Returns the torch loss for each of `loss_names`."""
    distillation_loss: "Callable[[Tensor, Tensor], Tensor] | None"
    """Loss of a student's logits against a teacher's, both divided by a temperature; None: the `mse` loss of values."""
    torch_link: "Callable[[Tensor], Tensor] | None"
    """Turns calibrated logits into probabilities; None where outputs are values."""
    link: Callable[[Floats], Floats] | None
    """The same function in numpy."""
    estimate_metrics: EstimateMetrics
    difference: GainOver
    score: Callable[[Floats, Truth], float]
    """Main metric alone."""
    validation_score: Callable[[Floats, NDArray[Any], Floats], tuple[float | None, float, float]]
    """Takes outputs, labels and the outputs' standard deviations (D,); returns the accuracy (None where there is none),
    the score that candidates are chosen by (higher is better) and its standard error."""
    baseline_predictions: PredictBaselines
    baseline_score: ScoreBaseline
    min_class_count: Callable[[Dataset], tuple[int, str]]
    """Training examples of the rarest class or label, and what they are called."""
    check_exported: Callable[[ExportedOutputs, Truth], tuple[list[Finding], list[int]]]
    """Whether the exported file is the tested model and the stated metrics are its own, and the rows that differ by a
    tie."""
    calibrate: Callable[[LabeledOutputs, LabeledOutputs], Calibration | None] = lambda val, test: None
    """Takes validation and test; fits the temperature on validation. None where there are no probabilities."""
    confusion_matrix: Callable[[Floats, Truth], list[list[int]]] = lambda outputs, truth: []
    """Rows are true classes, columns predicted ones; empty where a sample has no single class."""
    recalls: Callable[[Floats, Truth], tuple[Labels, Labels] | None] = lambda outputs, truth: None
    """Recognized samples and all samples of each class or label, (K,) each; None where there are none."""
    differing_rows: Callable[[Floats, Floats], NDArray[np.int64]] | None = None
    """Rows where two models' predicted classes or labels differ; None where outputs are values."""
    describe_flip: Callable[[Floats, Floats], tuple[float, str]] | None = None
    """For one row of two models with different predictions: the first model's margin, and a description with the
    fields {image} and {runtime}."""
    closed_form_losses: tuple[str, ...] = ()
    """Losses for which a linear head has a closed form (ridge regression)."""
    has_mean_loss: bool = False
    """The loss is a mean over the outputs, so that each output has its share of a penalty."""
    summary_metrics: tuple[str, ...] = ()
    """Metrics of the tested model in `run.json`, in this order; all where empty."""

    @property
    def onnx_outputs(self) -> tuple[str, ...]:
        """Names of the exported graph's outputs, in its order."""
        return ("values",) if self.link is None else ("logits", "probabilities")

    @property
    def output_noun(self) -> str:
        """What one output is called."""
        return "value" if self.link is None else "logit"

    def measure(self, outputs: Floats, labels: NDArray[Any]) -> dict[str, float]:
        """Returns all metrics of one model in one dict."""
        return {name: value for family in self.metrics.values() for name, value in family(outputs, labels).items()}

    def evaluate_metrics(
        self, outputs: Floats, truth: Truth, *, temperature: float, seed: int
    ) -> tuple[dict[str, Estimate], list[dict[str, Any]]]:
        """Returns all metrics, with their intervals if `estimate_metrics` has any, and a row per class or output.

        Args:
            outputs: Outputs on the test split, before the temperature.
            truth: The test split's labels.
            temperature: Divides logits; 1 for values.
            seed: Draws the resamples of the intervals.
        """
        estimates, rows = self.estimate_metrics(outputs, truth, temperature=temperature, seed=seed)
        for name, value in self.measure(outputs / temperature, truth.labels).items():
            estimates.setdefault(name, Estimate(value=value))
        return estimates, rows
