from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from graftline.config import Small, Training
from graftline.models.inputs.preprocessing import prepare
from graftline.models.network import Network
from graftline.strategies.l2 import L2, train, with_decay
from graftline.training.loop.loop import TrainingLoop
from tests.builders.training import start, task

OTHER = ["red", "green", "blue"]
SMOOTH = Small(widths=[4], activation="tanh", pooling="average")  # without kinks to jump to and fro at


def test_the_articles_minimum_is_found_with_lambda_over_n() -> None:
    """At the minimum, sum_i grad loss_i + 2 n lambda w = 0 for every weight, the biases among them."""
    strength = 0.05
    training = Training(optimizer="gd", learning_rate=0.3, schedule="constant", epochs=400, augment="none")
    given = task(
        "l2",
        start(small=SMOOTH),
        a_class=2,
        classes=OTHER,
        training=training,
        options=L2(strength=strength, decoupled=False),
    )
    trained = train(given)
    n = len(given.train)
    network, places = trained.network.eval(), np.arange(n)
    logits = network(prepare(given.train.images(places), trained.contract))
    total = functional.cross_entropy(logits, given.train.targets(places), reduction="sum")
    for weight, gradient in zip(
        network.parameters(), torch.autograd.grad(total, list(network.parameters())), strict=True
    ):
        lambda_article = n * strength
        torch.testing.assert_close(gradient, -2 * lambda_article * weight, atol=2e-3, rtol=2e-3)
    assert f"over a sum of {n}, as in the articles, it is {n * strength:g}" in trained.notes[-1]


def test_decoupled_it_is_the_optimizers_decay_and_takes_the_place_of_the_trainings() -> None:
    own = Training(weight_decay=0.3, l2=0.2)
    decoupled, coupled = with_decay(own, L2(strength=0.1)), with_decay(own, L2(strength=0.1, decoupled=False))
    assert (decoupled.weight_decay, decoupled.l2) == (0.1, 0.0)
    assert (coupled.weight_decay, coupled.l2) == (0.0, 0.1)


def test_decoupled_decay_shrinks_kernels_by_rate_times_strength_and_leaves_biases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before: dict[str, torch.Tensor] = {}
    made = TrainingLoop.__init__

    def without_gradient(self: TrainingLoop, network: Network, *rest: Any, **options: Any) -> None:
        made(self, network, *rest, **options)
        before.update({key: value.detach().clone() for key, value in network.named_parameters()})
        self.stepper.criterion = lambda batch: 0 * batch.logits.sum()

    monkeypatch.setattr(TrainingLoop, "__init__", without_gradient)
    training = Training(learning_rate=0.01, schedule="constant", epochs=1, batch_size=18, augment="none")
    trained = train(task("l2", start(), options=L2(strength=5.0), training=training))
    rate = trained.history[-1].learning_rate  # of the only step, early in the warm-up
    assert before
    assert rate
    for key, value in trained.network.named_parameters():
        torch.testing.assert_close(value, before[key] * (1 - rate * 5.0) if value.dim() > 1 else before[key])


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("adamw", "weight decay 0.01, decoupled from the gradient"),
        ("sgd", "weight decay 0.01 in the gradient: sgd has no decoupled one"),
    ],
)
def test_the_row_says_which_decay_it_was(optimizer: str, words: str) -> None:
    training = Training(optimizer=optimizer, epochs=1, augment="none")
    assert train(task("l2", start(), training=training)).notes[-1] == words
