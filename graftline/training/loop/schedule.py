"""Learning rate schedules, as pure functions of the step."""

import math
from collections.abc import Callable

WARMUP_SHARE = 0.05
"""Share of the steps over which the learning rate rises linearly; at most `MAX_WARMUP_STEPS`."""
MAX_WARMUP_STEPS = 500

LRSchedule = Callable[[int], float]
"""Maps a step number, from 0, to the factor on the peak learning rates."""


def _cosine(progress: float) -> float:
    """Half a period of a cosine (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def _constant(progress: float) -> float:
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {"cosine": _cosine, "constant": _constant}


def lr_factor(step: int, num_steps: int, schedule: str) -> float:
    """Returns the factor on the peak learning rate.

    Args:
        step: Step number, from 0.
        num_steps: Total number of steps.
        schedule: Name in `SCHEDULES`; applies after the warm-up.

    Returns:
        Value in (0, 1]: a step with learning rate 0 would have no effect.
    """
    warmup = min(MAX_WARMUP_STEPS, math.ceil(WARMUP_SHARE * num_steps))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return SCHEDULES[schedule]((step - warmup) / max(1, num_steps - warmup))
