"""What is trained, from what, at which rate; one strategy a file, one table."""

from collections.abc import Callable

from graftline.strategies import (
    bitfit,
    bss,
    control,
    cotuning,
    delta,
    distill,
    feature,
    full,
    l2,
    l2sp,
    lora,
    partial,
    staged,
    stochnorm,
    structure,
    wise,
    zero,
)
from graftline.training.contract import StrategyInput, StrategyResult

STRATEGIES: dict[str, Callable[[StrategyInput], StrategyResult]] = {
    "zero": zero.train,
    "feature": feature.train,
    "partial": partial.train,
    "staged": staged.train,
    "full": full.train,
    "structure": structure.train,
    "l2": l2.train,
    "l2sp": l2sp.train,
    "delta": delta.train,
    "bss": bss.train,
    "stochnorm": stochnorm.train,
    "cotuning": cotuning.train,
    "lora": lora.train,
    "bitfit": bitfit.train,
    "wise": wise.train,
    "distill": distill.train,
    "control": control.train,
}
"""By `Candidate.strategy_name`."""
