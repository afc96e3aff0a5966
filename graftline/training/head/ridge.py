"""Ridge regression in closed form (Hoerl and Kennard 1970), with its strength chosen by cross-validation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graftline.training.batches.samples import Indices

STRENGTHS: list[float] = np.logspace(1, -7, 33).tolist()
"""Values of lambda in MSE + lambda |W|^2, from strong to weak; each costs one matrix product."""


@dataclass(frozen=True)
class RidgeSolver:
    """Eigendecomposition of the features, which gives the weights of any strength."""

    basis: Tensor
    """(D, D), eigenvectors of the features' second moments."""
    eigenvalues: Tensor
    """(D,)."""
    cross_moments: Tensor
    """(D, O), second moments of features and labels, in the basis."""
    feature_mean: Tensor
    """(D,)."""
    label_mean: Tensor
    """(O,)."""

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, *, free_bias: bool = True) -> "RidgeSolver":
        """Decomposes the features.

        Args:
            features: (N, D).
            labels: (N, O).
            free_bias: Whether the bias is excluded from the penalty; if not, nothing is centered.
        """
        x, y = features.double(), labels.double()
        x_mean, y_mean = (x.mean(0), y.mean(0)) if free_bias else (x.new_zeros(x.shape[1]), y.new_zeros(y.shape[1]))
        x, y = x - x_mean, y - y_mean
        eigenvalues, basis = torch.linalg.eigh(x.T @ x / len(x))
        return cls(basis, eigenvalues.clamp(min=0), basis.T @ (x.T @ y) / len(x), x_mean, y_mean)

    def weights(self, strength: float) -> tuple[Tensor, Tensor]:
        """Returns weight (O, D) and bias (O,) that minimize strength |W|^2 + mean over samples and outputs of r^2."""
        num_outputs = self.cross_moments.shape[1]
        rotated = self.cross_moments / (self.eigenvalues + strength * num_outputs).clamp(min=1e-12)[:, None]
        weight = (self.basis @ rotated).T
        return weight, self.label_mean - weight @ self.feature_mean


def choose_strength(features: Tensor, labels: Tensor, pairs: list[tuple[Indices, Indices]]) -> float:
    """Returns the strength with the smallest squared error on held-out folds; the first one if there are no folds.

    Args:
        features: (N, D).
        labels: (N, O).
        pairs: Indices to fit on and indices held out.
    """
    totals = torch.zeros(len(STRENGTHS), dtype=torch.float64)
    for inside, held in pairs:
        solver = RidgeSolver.of(features[inside], labels[inside])
        x, y = features[held].double(), labels[held].double()
        for number, strength in enumerate(STRENGTHS):
            weight, bias = solver.weights(strength)
            totals[number] += float((x @ weight.T + bias - y).square().sum())
    return STRENGTHS[int(totals.argmin())]


def fit_with_penalized_bias(features: Tensor, labels: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Returns weight (O, D) and bias (O,) of ridge regression whose penalty includes the bias."""
    ones = features.new_ones(len(features), 1)
    weight, _ = RidgeSolver.of(torch.cat([features, ones], 1), labels, free_bias=False).weights(strength)
    return weight[:, :-1], weight[:, -1]
