"""Ridge regression in closed form (Hoerl and Kennard 1970), its strength chosen by folds."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graftline.training.batches.samples import Indices

STRENGTHS: list[float] = np.logspace(1, -7, 33).tolist()
"""lambda of lambda |W|^2 beside the mean squared error, from strong to weak; each costs one product of matrices."""


@dataclass(frozen=True)
class Solver:
    """Features and labels, centred, turned so that the weights of every strength are at hand."""

    basis: Tensor
    """(D, D), eigenvectors of the features' second moments."""
    spread: Tensor
    """(D,), their eigenvalues."""
    aim: Tensor
    """(D, O), second moments of features and labels, in that basis."""
    center: Tensor
    """(D,) of the features."""
    level: Tensor
    """(O,) of the labels."""

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, *, free_bias: bool = True) -> "Solver":
        """Decomposes once; without a free bias nothing is centred.

        Args:
            features: (N, D).
            labels: (N, O).
            free_bias: Whether the bias is left out of the penalty.
        """
        x, y = features.double(), labels.double()
        center, level = (x.mean(0), y.mean(0)) if free_bias else (x.new_zeros(x.shape[1]), y.new_zeros(y.shape[1]))
        x, y = x - center, y - level
        spread, basis = torch.linalg.eigh(x.T @ x / len(x))
        return cls(basis, spread.clamp(min=0), basis.T @ (x.T @ y) / len(x), center, level)

    def weights(self, strength: float) -> tuple[Tensor, Tensor]:
        """Returns the weight (O, D) and bias (O,) of least strength |W|^2 + mean over samples and outputs of r^2."""
        outputs = self.aim.shape[1]
        turned = self.aim / (self.spread + strength * outputs).clamp(min=1e-12)[:, None]
        weight = (self.basis @ turned).T
        return weight, self.level - weight @ self.center


def choose(features: Tensor, labels: Tensor, pairs: list[tuple[Indices, Indices]]) -> float:
    """Returns the strength with the least squared error on held-out folds; without folds the first of `STRENGTHS`.

    Args:
        features: (N, D).
        labels: (N, O).
        pairs: Places to fit on and places held out.
    """
    totals = torch.zeros(len(STRENGTHS), dtype=torch.float64)
    for inside, held in pairs:
        solver = Solver.of(features[inside], labels[inside])
        x, y = features[held].double(), labels[held].double()
        for place, strength in enumerate(STRENGTHS):
            weight, bias = solver.weights(strength)
            totals[place] += float((x @ weight.T + bias - y).square().sum())
    return STRENGTHS[int(totals.argmin())]


def with_penalised_bias(features: Tensor, labels: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Returns weight (O, D) and bias (O,) where strength |w|^2 counts all of them, the bias too."""
    ones = features.new_ones(len(features), 1)
    weight, _ = Solver.of(torch.cat([features, ones], 1), labels, free_bias=False).weights(strength)
    return weight[:, :-1], weight[:, -1]
