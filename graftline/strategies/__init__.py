"""What is trained, from what, at which rate; one strategy a file, one table."""

from collections.abc import Callable

from graftline.strategies import control, feature, full, partial, staged, structure, zero
from graftline.training.task import Task, Trained

STRATEGIES: dict[str, Callable[[Task], Trained]] = {
    "zero": zero.train,
    "feature": feature.train,
    "partial": partial.train,
    "staged": staged.train,
    "full": full.train,
    "structure": structure.train,
    "control": control.train,
}
"""By `Candidate.strategy_name`."""
