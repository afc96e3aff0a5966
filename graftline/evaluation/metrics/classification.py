"""Computes metrics of classifiers: accuracy, precision, recall, F1 and log loss."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, recall_score

from graftline.evaluation.arrays import Floats, Labels


def classification_metrics(logits: Floats, labels: Labels) -> dict[str, float]:
    """Returns accuracy, balanced accuracy, macro precision, recall and F1, and log loss in nats.

    Macro means are taken over the classes that occur in `labels`, so macro recall is equal to balanced accuracy. A
    class that is never predicted has precision 0 and F1 0.

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
    """Returns the mean recall over the classes that occur in `labels`, the main metric of selection.

    Args:
        predicted: (N,), predicted classes.
        labels: (N,), true classes.
    """
    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0))


def per_class(predicted: Labels, labels: Labels, classes: list[str]) -> list[dict[str, float | int | str]]:
    """Returns precision, recall, F1 and the number of examples of each class; ratios with denominator 0 are 0."""
    columns = precision_recall_fscore_support(labels, predicted, labels=range(len(classes)), zero_division=0)
    return [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "examples": int(n)}
        for name, p, r, f, n in zip(classes, *columns, strict=True)
    ]


def confusion(predicted: Labels, labels: Labels, classes: int) -> NDArray[np.int64]:
    """Returns the confusion matrix (K, K); rows are true classes, columns are predicted classes."""
    counts: NDArray[np.int64] = confusion_matrix(labels, predicted, labels=range(classes))
    return counts


def losses(logits: Floats, labels: Labels) -> Floats:
    """Returns the negative log-likelihood (N,) of each sample in nats."""
    likelihood: Floats = log_softmax(logits.astype(np.float64), axis=1)
    return -likelihood[np.arange(len(labels)), labels]
