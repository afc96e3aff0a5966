"""Multilabel: any number of labels per sample, compared by macro average precision."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from graftline.data.dataset import Dataset
from graftline.data.labels import MULTI_HOT
from graftline.evaluation.arrays import Floats
from graftline.evaluation.links import sigmoid
from graftline.evaluation.metrics.multilabel import (
    average_precisions,
    calibration_error,
    losses,
    macro_ap,
    multilabel_metrics,
    per_label,
)
from graftline.evaluation.result import Calibration, Estimate
from graftline.evaluation.statistics.intervals import Interval, standard_error_of_mean_proportion, wilson
from graftline.evaluation.statistics.multilabel_bootstrap import (
    bootstrap_average_precisions,
    bootstrap_f1_and_loss,
    calibration_interval,
)
from graftline.evaluation.statistics.resample import bootstrap_interval
from graftline.evaluation.statistics.temperature import COLDEST, HOTTEST, MIN_SAMPLES, describe_fit
from graftline.evaluation.tasks import baselines
from graftline.evaluation.tasks.task_kind import ReportWords, TaskKind
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference, describe_method, two_level_interval
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.same_labels import check_same_labels
from graftline.evaluation.verdict.same_model import (
    ExportedOutputs,
    check_stated_metrics,
)

if TYPE_CHECKING:
    from torch import Tensor

    from graftline.evaluation.torch_functions import Loss


def _estimate_metrics(
    logits: Floats, truth: Truth, *, temperature: float, seed: int
) -> tuple[dict[str, Estimate], list[dict[str, Any]]]:
    """Returns all metrics with intervals by bootstrap over samples, and a row per label.

    `exact` has Wilson's interval. The calibration error's has the bins and their confidences held fixed.

    Args:
        logits: (N, K), finite.
        truth: Of the same samples.
        temperature: Logits are divided by it.
        seed: Draws the resamples.
    """
    scaled, there, n = logits / temperature, truth.labels > 0.5, len(logits)
    found = multilabel_metrics(scaled, there)
    random = np.random.default_rng(seed)
    judged = np.flatnonzero(there.any(0))
    single = bootstrap_average_precisions([scaled], there, judged, random, pooled=True)[0]
    labeled, pooled = single[:-1], single[-1]
    others = bootstrap_f1_and_loss(scaled, there, random)
    exact = int(((scaled > 0) == there).all(1).sum())
    intervals = {
        "macro_ap": bootstrap_interval(found["macro_ap"], labeled.mean(0), n, low=0, high=1) if len(judged) else None,
        "micro_ap": bootstrap_interval(found["micro_ap"], pooled, n, low=0, high=1) if len(judged) else None,
        "macro_f1": bootstrap_interval(found["macro_f1"], others["macro_f1"], n, low=0, high=1),
        "exact": wilson(exact, n),
        "loss": bootstrap_interval(found["loss"], others["loss"], n, low=0),
        "ece": calibration_interval(scaled, there, random),
    }
    rows = per_label(scaled, there, truth.names)
    for k, drawn in zip(judged, labeled, strict=True):
        low, high = bootstrap_interval(float(rows[k]["ap"]), drawn, n, low=0, high=1)
        rows[k] |= {"ap_low": low, "ap_high": high}
    return {name: _estimate(value, intervals[name]) for name, value in found.items()}, rows


def _difference(first: Floats, second: Floats, truth: Truth, *, seed: int) -> Difference:
    """Returns the first macro average precision minus the second.

    Two levels as `gain.paired_difference` has them; average precision is no mean over samples, so each draw of
    samples ranks all models anew. An imagined sample joins the draws, see `Ranking.of_draws`.

    Args:
        first: (S, N, K) logits, a row a seed.
        second: Likewise.
        truth: Of the same samples.
        seed: Draws the resamples.
    """
    there, seeds = truth.labels > 0.5, len(first)
    random = np.random.default_rng(seed)
    scores = tuple(np.array([macro_ap(logits, there) for logits in models]) for models in (first, second))
    judged = np.flatnonzero(there.any(0))
    if not len(judged):
        return Difference(0.0, -1.0, 1.0, "no test sample has any label, so nothing can be compared")
    drawn = np.stack([part.mean(0) for part in bootstrap_average_precisions([*first, *second], there, judged, random)])
    moves = drawn[:seeds].mean(0) - drawn[seeds:].mean(0)
    moves -= moves.mean()
    value = float(scores[0].mean() - scores[1].mean())
    low, high = two_level_interval(value, moves, float(moves.var()), len(there), (scores[0], scores[1]), random)
    return Difference(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), describe_method(seeds, len(moves)))


def _score(logits: Floats, truth: Truth) -> float:
    """Returns the macro average precision."""
    return macro_ap(logits, truth.labels)


def _baseline_predictions(data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Returns each label's share of the training images and the shares that a forest predicts, as logits (N, K)."""
    shares, notes = baselines.forest_values(data.train, data.test, seed=seed)
    prior = np.asarray(data.train.labels, np.float64).mean(0)
    return {"prior": np.tile(_logits(prior), (len(data.test), 1)), "forest": _logits(shares)}, notes


def _baseline_score(logits: NDArray[Any], truth: Truth, *, seed: int) -> Estimate:
    """Returns a baseline's macro average precision."""
    there, random = truth.labels > 0.5, np.random.default_rng(seed)
    value, judged = macro_ap(logits, there), np.flatnonzero(there.any(0))
    if not len(judged):
        return Estimate(value=value)
    drawn = bootstrap_average_precisions([logits], there, judged, random)[0].mean(0)
    return _estimate(value, bootstrap_interval(value, drawn, len(there), low=0, high=1))


def _calibrate(val: tuple[Floats, NDArray[Any]], test: tuple[Floats, NDArray[Any]]) -> Calibration | None:
    """Fits one temperature by the binary likelihood on validation; both errors are of test.

    Args:
        val: Logits (M, K) and labels (M, K).
        test: Logits (N, K) and labels (N, K).
    """
    logits, labels = val
    temperature = 1.0
    if len(labels) >= MIN_SAMPLES:
        found = minimize_scalar(
            lambda log_t: float(losses(logits / np.exp(log_t), labels).mean()),
            bounds=(np.log(COLDEST), np.log(HOTTEST)),
            method="bounded",
            options={"xatol": 1e-5},
        )
        temperature = float(np.exp(found.x))
    return Calibration(
        temperature=temperature,
        ece_before=calibration_error(*test),
        ece_after=calibration_error(test[0] / temperature, test[1]),
        fitted_on=describe_fit(len(labels), temperature),
    )


def _min_class_count(data: Dataset) -> tuple[int, str]:
    """Returns the number of training images with the rarest label."""
    return int((np.asarray(data.train.labels) > 0.5).sum(0).min()), "training images of the rarest label"


def _recalls(logits: Floats, truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Returns of each label the samples with a probability above 0.5, and all samples that have it."""
    there = truth.labels > 0.5
    return (there & (logits > 0)).sum(0), there.sum(0)


def _check_exported(exported: ExportedOutputs, truth: Truth) -> tuple[list[Finding], list[int]]:
    """Checks predictions, probabilities and stated metrics."""
    findings, flips = check_same_labels(exported)
    compared = _compared(exported.outputs, exported.evaluated, truth, exported.temperature)
    return [*findings, *check_stated_metrics(compared, exported.stated, exported.rows)], flips


def _compared(logits: Floats, evaluated: Floats, truth: Truth, temperature: float) -> list[tuple[str, float, float]]:
    """Figures that the gate computes anew: name, the file's, the tested answers'; `/` leads to a label's row."""
    pair = [multilabel_metrics(outputs / temperature, truth.labels) for outputs in (logits, evaluated)]
    rows = [np.nan_to_num(average_precisions(outputs, truth.labels)) for outputs in (logits, evaluated)]
    found = [(name, pair[0][name], pair[1][name]) for name in ("macro_ap", "macro_f1", "ece")]
    return found + [
        (f"ap/{name}", float(ours), float(theirs)) for name, ours, theirs in zip(truth.names, *rows, strict=True)
    ]


def _logits(shares: NDArray[Any]) -> NDArray[np.float32]:
    """Shares as logits; never quite 0 or 1, as no number of images shows that."""
    held = np.clip(np.asarray(shares, np.float64), 1e-3, 1 - 1e-3)
    found: NDArray[np.float32] = np.log(held / (1 - held)).astype(np.float32)
    return found


def _estimate(value: float, ends: Interval | None) -> Estimate:
    if ends is None or ends.high - ends.low < 1e-12:
        return Estimate(value=value)
    return Estimate(value=value, low=min(ends.low, value), high=max(ends.high, value))


def _validation_score(logits: Floats, labels: NDArray[Any], deviation: Floats) -> tuple[None, float, float]:
    """Returns macro average precision; its standard error by the positives of each label (Boyd, Eng and Page 2013)."""
    precisions = average_precisions(np.nan_to_num(logits), labels)
    present = np.isfinite(precisions)
    if not present.any():
        return None, 0.0, 1.0
    counts = labels.sum(0)[present]
    shares = [(float(value * count), int(count)) for value, count in zip(precisions[present], counts, strict=True)]
    return None, float(precisions[present].mean()), standard_error_of_mean_proportion(shares)


def _losses() -> "dict[str, Loss]":
    from graftline.evaluation.torch_functions import binary_cross_entropy

    return {"cross_entropy": binary_cross_entropy}


def _soft_binary_cross_entropy(student: "Tensor", teacher: "Tensor") -> "Tensor":
    from graftline.evaluation.torch_functions import soft_binary_cross_entropy

    return soft_binary_cross_entropy(student, teacher)


def _torch_sigmoid(logits: "Tensor") -> "Tensor":
    from graftline.evaluation.torch_functions import sigmoid

    return sigmoid(logits)


def _differing_rows(reference: Floats, outputs: Floats) -> NDArray[np.int64]:
    """Returns the rows where a label is above 0.5 in one of the two only."""
    return np.flatnonzero(((reference > 0) != (outputs > 0)).any(1))


def _describe_flip(reference: Floats, outputs: Floats) -> tuple[float, str]:
    """Returns the reference's largest logit, up or down, of a label that differs, and a description of it."""
    margins = np.where((reference > 0) != (outputs > 0), np.abs(reference), 0)
    label = int(margins.argmax())
    return float(margins.max()), (
        f"label {label} of test image {{image}} has logit {reference[label]:.6g} by PyTorch and "
        f"{outputs[label]:.6g} by {{runtime}}"
    )


MULTILABEL = TaskKind(
    name="multilabel",
    label_type=MULTI_HOT,
    words=ReportWords(
        nouns=("label", "labels"),
        validation_metric="macro average precision",
        row_metric=("ap", "average precision"),
        model_card="Labeling of images with any of",
        limits="It cannot predict other labels.",
    ),
    metrics={"multilabel": multilabel_metrics},
    main_metric="macro_ap",
    lower_is_better=False,
    trivial_baseline="prior",
    loss_names=("cross_entropy",),
    losses=_losses,
    distillation_loss=_soft_binary_cross_entropy,
    torch_link=_torch_sigmoid,
    link=sigmoid,
    estimate_metrics=_estimate_metrics,
    difference=_difference,
    score=_score,
    validation_score=_validation_score,
    baseline_predictions=_baseline_predictions,
    baseline_score=_baseline_score,
    min_class_count=_min_class_count,
    check_exported=_check_exported,
    calibrate=_calibrate,
    recalls=_recalls,
    differing_rows=_differing_rows,
    describe_flip=_describe_flip,
    has_mean_loss=True,
)
