"""The learning rate's course over a training, as a pure function of the step."""

import math
from collections.abc import Callable

WARM_UP = 0.05
"""Share of the steps over which the rate rises, at most `LONGEST` of them."""
LONGEST = 500


def _cosine(progress: float) -> float:
    """Loshchilov and Hutter 2017, one half period."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def _constant(progress: float) -> float:
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {"cosine": _cosine, "constant": _constant}


def factor(step: int, steps: int, schedule: str) -> float:
    """Returns what the peak rate is multiplied with.

    Args:
        step: From 0.
        steps: In all.
        schedule: A name in `SCHEDULES`: the course after the warm-up.

    Returns:
        Above 0 in each step (a step at rate 0 would be lost), at most 1.
    """
    rising = min(LONGEST, math.ceil(WARM_UP * steps))
    if step < rising:
        return (step + 1) / (rising + 1)
    return SCHEDULES[schedule]((step - rising) / max(1, steps - rising))
