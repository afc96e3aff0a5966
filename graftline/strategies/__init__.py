"""The strategies: what is trained, from which weights and at which learning rates; one file and one record each."""

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
from graftline.strategies.record import Strategy

STRATEGIES: dict[str, Strategy] = {
    module.STRATEGY.name: module.STRATEGY
    for module in (
        zero,
        feature,
        partial,
        staged,
        full,
        structure,
        l2,
        l2sp,
        delta,
        bss,
        stochnorm,
        cotuning,
        lora,
        bitfit,
        wise,
        distill,
        control,
    )
}
"""All strategies by name. None of them imports torch before it trains."""
