"""Metrics of classifiers: accuracy, precision, recall, F1 and log loss."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, recall_score

from graftline.evaluation.arrays import Floats, Labels


def classification_metrics(logits: Floats, labels: Labels) -> dict[str, float]:
    """Returns accuracy, balanced accuracy, macro precision, recall and F1, and log loss in nats.

    Macro means are over the classes that `labels` holds, so that macro recall is balanced accuracy. A class never
    predicted has precision and F1 0.

    Args:
        logits: (N, K), N at least 1.
        labels: (N,), true classes.
    """
    predicted = logits.argmax(1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
    )
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
        "macro_f1": float(f1),
        "loss": float(losses(logits, labels).mean()),
    }


def balanced_accuracy(predicted: Labels, labels: Labels) -> float:
    """Mean recall over the classes that `labels` holds; the main metric of selection.

    Args:
        predicted: (N,), predicted classes.
        labels: (N,), true classes.
    """
    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0))


def per_class(predicted: Labels, labels: Labels, classes: list[str]) -> list[dict[str, float | int | str]]:
    """Precision, recall, F1 and number of examples of each class; 0 where a ratio has nothing to count."""
    columns = precision_recall_fscore_support(labels, predicted, labels=range(len(classes)), zero_division=0)
    return [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "examples": int(n)}
        for name, p, r, f, n in zip(classes, *columns, strict=True)
    ]


def confusion(predicted: Labels, labels: Labels, classes: int) -> NDArray[np.int64]:
    """Counts (K, K): rows are true classes, columns predicted ones."""
    counts: NDArray[np.int64] = confusion_matrix(labels, predicted, labels=range(classes))
    return counts


def losses(logits: Floats, labels: Labels) -> Floats:
    """Each sample's negative log likelihood (N,) in nats."""
    likelihood: Floats = log_softmax(logits.astype(np.float64), axis=1)
    return -likelihood[np.arange(len(labels)), labels]
