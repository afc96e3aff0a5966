"""Defaults that follow from the data: epochs, rates, augmentation and the rest, each with why. No torch.

After BiT's HyperRule (Kolesnikov et al. 2020), which reads resolution, length and mixup off the size of the data.
"""

from graftline.training.recipe.choices import epochs, head_iterations, rates_of
from graftline.training.recipe.facts import Facts, any_size, facts_of
from graftline.training.recipe.plans import (
    Rates,
    computed,
    control_length,
    control_training,
    cut_short,
    feature_passes,
    presentations,
    rates,
    resolve,
)

__all__ = [
    "Facts",
    "Rates",
    "any_size",
    "computed",
    "control_length",
    "control_training",
    "cut_short",
    "epochs",
    "facts_of",
    "feature_passes",
    "head_iterations",
    "presentations",
    "rates",
    "rates_of",
    "resolve",
]
