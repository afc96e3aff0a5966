"""Default training settings derived from the data, each with a reason; PyTorch is not imported.

This follows BiT's HyperRule (Kolesnikov et al. 2020), which derives resolution, training length and mixup from the size
of the data.
"""

from graftline.training.recipe.choices import epochs, head_iterations, rates_of
from graftline.training.recipe.facts import RecipeInput, any_size, recipe_input
from graftline.training.recipe.plans import (
    Rates,
    computed,
    control_length,
    control_training,
    cut_short,
    examples_seen,
    rates,
    resolve,
)

__all__ = [
    "Rates",
    "RecipeInput",
    "any_size",
    "computed",
    "control_length",
    "control_training",
    "cut_short",
    "epochs",
    "examples_seen",
    "head_iterations",
    "rates",
    "rates_of",
    "recipe_input",
    "resolve",
]
