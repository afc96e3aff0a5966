import pytest
import torch

from graftline.config import Head, Training
from graftline.models.head import new_head
from graftline.runtime.errors import DivergedError
from graftline.training.head.heads import FeatureSet, fit_head
from graftline.training.progress import Progress
from tests.training.head.test_linear import blobs


@pytest.mark.parametrize("head", [Head(), Head(hidden=[16]), Head(dropout=0.2), Head(hidden=[16, 8], dropout=0.1)])
def test_each_head_is_fitted_in_place(head: Head) -> None:
    features, labels = blobs(60, 10)
    made = new_head(10, 3, head)
    fitted = fit_head(
        made, FeatureSet(features, labels), Training(augment="none"), iterations=60, seed=0, progress=Progress(1)
    )
    made.eval()
    assert (made(features).argmax(1) == labels).float().mean() > 0.8
    assert 1 <= fitted.iterations <= 60
    assert fitted.history[-1].examples_seen == fitted.iterations * 60


@pytest.mark.parametrize("hidden", [[], [16]])
def test_the_fitted_head_depends_only_on_the_seed(hidden: list[int]) -> None:
    features, labels = blobs(30, 10)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        made = new_head(10, 3, Head(hidden=hidden))
        torch.rand(3)  # what else was drawn meanwhile does not matter
        fit_head(made, FeatureSet(features, labels), Training(), iterations=5, seed=1, progress=Progress(1))
        found.append(torch.cat([w.flatten() for w in made.parameters()]))
    assert torch.equal(*found)


@pytest.mark.parametrize("optimizer", ["sgd", "gd", "rmsprop"])
def test_a_hidden_head_takes_the_configured_optimizer(optimizer: str) -> None:
    features, labels = blobs(60, 10)
    made = new_head(10, 3, Head(hidden=[16]))
    training = Training(optimizer=optimizer, learning_rate=0.1 if optimizer != "rmsprop" else None)
    fitted = fit_head(made, FeatureSet(features, labels), training, iterations=60, seed=0, progress=Progress(1))
    assert fitted.history[-1].train_loss < 0.7


def test_a_hidden_head_that_diverges_raises_an_error() -> None:
    features, labels = blobs(60, 10)
    with pytest.raises(DivergedError, match=r"head: loss \S+ in epoch \d+"):
        fit_head(
            new_head(10, 3, Head(hidden=[16])),
            FeatureSet(features, labels),
            Training(optimizer="sgd", learning_rate=1e12),
            iterations=20,
            seed=0,
            progress=Progress(1),
        )
