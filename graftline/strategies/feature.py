"""`feature`: a frozen backbone, its features computed once, a new head on them (Donahue et al. 2014)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graftline.strategies.carry import Carried, carried
from graftline.training.batches import Samples
from graftline.training.devices import place
from graftline.training.freezing import freeze, trained_parameters
from graftline.training.heads import Fitted, fit_head
from graftline.training.recipe import head_iterations
from graftline.training.task import Task, Trained
from graftline.training.validation import score


@dataclass(frozen=True)
class OnFeatures:
    """A network with the source's frozen backbone and a head that has converged on its features."""

    start: Carried
    fitted: Fitted


def train(task: Task) -> Trained:
    """Fits a new head to convergence on features in eval mode, without augmentation.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: Features or head are not finite.
    """
    found = converged_head(task, task.training.epochs or head_iterations(len(task.train)))
    network = found.start.network
    network.eval()
    source = task.start.manifest

    def predict(samples: Samples) -> Tensor:
        with torch.no_grad():
            logits: Tensor = network.head(features_of(task, found.start, samples))
        return logits

    return Trained(network, found.start.contract, source.small, task.head, predict, architecture=source.architecture,
                   history=found.fitted.history, presentations=found.fitted.iterations * len(task.train),
                   trained_parameters=trained_parameters(network),
                   reinitialised=found.start.transferred.reinitialised, dropped=found.start.transferred.dropped,
                   notes=[found.fitted.note], learning_rate=found.fitted.rate)


def converged_head(task: Task, iterations: int) -> OnFeatures:
    """Carries the whole backbone, freezes it, fits the head.

    Args:
        task: What to train.
        iterations: Cap on passes over the cached features.
    """
    start = carried(task)
    freeze([start.network.backbone])
    place(start.network, task.device)
    features = features_of(task, start, task.train)
    labels = torch.from_numpy(task.train.labels).to(features.device)
    fitted = fit_head(start.network.head, features, labels, task.training, iterations=iterations, seed=task.seed,
                      meter=task.meter)
    return OnFeatures(start, _with_validation(task, start, fitted))


def features_of(task: Task, start: Carried, samples: Samples) -> Tensor:
    """Returns the carried backbone's features (N, D) of some samples; the pool is asked once a source."""
    return task.start.frozen_outputs("features", start.network.backbone, samples, start.contract, task.device,
                                     task.meter)


def _with_validation(task: Task, start: Carried, fitted: Fitted) -> Fitted:
    if not len(task.val):
        return fitted
    with torch.no_grad():
        found = score(start.network.head(features_of(task, start, task.val)), task.val.labels, task.training.loss)
    last = fitted.history[-1].model_copy(update={"val_loss": found.loss, "val_accuracy": found.accuracy})
    task.meter.advance(0, "head", val_accuracy=found.accuracy)
    return Fitted([*fitted.history[:-1], last], fitted.iterations, fitted.note, fitted.rate)
