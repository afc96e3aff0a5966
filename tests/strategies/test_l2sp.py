import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftline.config import Training
from graftline.strategies import l2sp
from graftline.strategies.l2sp import L2SP
from graftline.strategies.methods.anchoring import distance_to_source
from graftline.strategies.weights.carry import carried
from graftline.training.interface import StrategyInput
from graftline.training.loop.stepper import Batch
from tests.builders.training import CLASSES, start, task

OTHER = ["red", "green", "blue"]
NOTHING = Batch(torch.empty(0), torch.empty(0), torch.empty(0), torch.empty(0))


def given(
    backbone: str = "cnn", *, classes: list[str] = OTHER, weight_decay: float = 0.0, **options: float
) -> StrategyInput:
    training = Training(
        epochs=5, augment="none", batch_size=8, optimizer="sgd", learning_rate=3e-3, weight_decay=weight_decay
    )
    return task("l2sp", start(backbone, side=32), classes=classes, options=L2SP(**options), training=training)


def moved(task_: StrategyInput) -> float:
    """How far the backbone's weights went."""
    before = dict(task_.start.network.backbone.named_parameters())
    after = l2sp.train(task_).network.backbone.named_parameters()
    return math.sqrt(sum(float((value - before[key]).detach().square().sum()) for key, value in after))


def test_value_and_gradient_are_those_by_hand() -> None:
    begun = carried(given("shufflenet_v2_x0_5"), head=True)
    alpha, beta = 0.3, 0.07
    penalty = distance_to_source(begun.network, begun.transferred.carried, alpha, beta)
    origin = {key: value.detach().double().numpy().copy() for key, value in begun.network.named_parameters()}
    with torch.no_grad():
        for number, weight in enumerate(begun.network.parameters()):
            weight.add_(0.01 * (number % 5))
    value = penalty(NOTHING)
    value.backward()  # type: ignore[no-untyped-call]
    expected = 0.0
    for key, weight in begun.network.named_parameters():
        now = weight.detach().double().numpy()
        pull, difference = (beta, now) if key.startswith("head.") else (alpha, now - origin[key])
        expected += pull / 2 * float((difference**2).sum())
        np.testing.assert_allclose(_numbers(weight.grad), pull * difference, atol=1e-6)
    np.testing.assert_allclose(value.item(), expected, rtol=1e-5)


def _numbers(values: Tensor | None) -> NDArray[np.float64]:
    assert values is not None
    numbers: NDArray[np.float64] = values.double().numpy()
    return numbers


def test_a_strong_pull_keeps_the_weights_at_the_sources() -> None:
    free, held, stronger = (moved(given(alpha=alpha)) for alpha in (0.0, 10.0, 300.0))
    assert stronger < held < free
    assert stronger < 0.2 * free


def test_the_optimizer_decays_nothing() -> None:
    first, second = (l2sp.train(given(weight_decay=decay)).network.state_dict() for decay in (0.0, 10.0))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_head_that_was_carried_is_held_too() -> None:
    begun = carried(given(classes=CLASSES), head=True)
    assert begun.head
    penalty = distance_to_source(begun.network, begun.transferred.carried, 1.0, 1.0)
    assert penalty(NOTHING).item() == 0
