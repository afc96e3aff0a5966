import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graftline.config import Training
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.strategies.methods.stochastic_norm import StochasticNorm, stochastic
from graftline.strategies.stochnorm import StochNorm, train
from graftline.strategies.weights import fitting
from graftline.training.interface import StrategyInput
from graftline.training.loop.loop import TrainingLoop
from tests.builders.training import start, task

NET, SIDE = "shufflenet_v2_x0_5", 32


def norm(channels: int = 6) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in (made.weight, made.bias, made.running_mean, made.running_var):
            assert values is not None
            values.copy_(torch.rand(channels, generator=draw) + 0.5)
    return made


def by_hand(plain: nn.BatchNorm2d, images: Tensor, takes_running: Tensor) -> Tensor:
    """Kou et al. 2020: y = gamma ((1 - s) x_0 + s x_1) + beta, written out."""
    assert plain.running_mean is not None
    assert plain.running_var is not None
    mean, variance = images.mean((0, 2, 3)), images.var((0, 2, 3), correction=0)
    mean = torch.where(takes_running, plain.running_mean.clone(), mean)
    variance = torch.where(takes_running, plain.running_var.clone(), variance)
    scaled = (images - mean[:, None, None]) / (variance + plain.eps)[:, None, None].sqrt()
    return plain.weight[:, None, None] * scaled + plain.bias[:, None, None]


def test_outputs_and_gradients_are_those_of_the_formula() -> None:
    plain = norm()
    other = copy.deepcopy(plain)
    images = torch.randn(5, 6, 3, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    torch.manual_seed(4)
    found = StochasticNorm(plain, 0.5)(images)
    torch.manual_seed(4)
    takes_running = torch.rand(6) < 0.5
    assert 0 < takes_running.sum() < 6
    expected = by_hand(other, images, takes_running)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    mine = torch.autograd.grad((found * weights).sum(), [images, plain.weight, plain.bias])
    theirs = torch.autograd.grad((expected * weights).sum(), [images, other.weight, other.bias])
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_running_statistics_are_a_plain_norms(probability: float) -> None:
    plain = norm()
    other = copy.deepcopy(plain)
    draw = torch.Generator().manual_seed(2)
    for _ in range(3):
        images = torch.randn(5, 6, 3, 3, generator=draw)
        StochasticNorm(plain, probability)(images)
        other(images)
    assert plain.num_batches_tracked == 3
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in plain.state_dict().items())


def test_at_the_ends_it_is_a_norm_in_training_or_in_eval_mode() -> None:
    images = torch.randn(5, 6, 3, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(StochasticNorm(norm(), 0.0)(images), norm()(images))
    torch.testing.assert_close(StochasticNorm(norm(), 1.0)(images), norm().eval()(images))


def test_one_dimension_too() -> None:
    plain = nn.BatchNorm1d(4)
    torch.testing.assert_close(StochasticNorm(plain, 0.0)(torch.eye(4)), nn.BatchNorm1d(4)(torch.eye(4)))


def test_names_stay_and_the_plain_norms_come_back() -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Sequential(norm()))
    names, own = list(network.state_dict()), network[1][0]  # type: ignore[index]
    parameters = list(network.parameters())
    with stochastic(network, 0.5):
        assert isinstance(network[1][0], StochasticNorm)  # type: ignore[index]
        assert list(network.state_dict()) == names
        assert all(mine is theirs for mine, theirs in zip(parameters, network.parameters(), strict=True))
        network(torch.randn(4, 3, 5, 5))
    assert network[1][0] is own  # type: ignore[index]
    assert own.num_batches_tracked == 1


def given(**options: Any) -> StrategyInput:
    training = Training(**{"epochs": 2, "augment": "none", "batch_size": 8, **options})
    return task("stochnorm", start(NET, side=SIDE), classes=["red", "green", "blue"], training=training)


def test_the_trained_network_is_plain_and_says_what_the_stochastic_one_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Tensor] = []
    images = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    whole = fitting.train_all

    def listening(*rest: Any, **options: Any) -> Any:
        trained = whole(*rest, **options)
        kinds = [type(part) for part in trained.network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        assert set(kinds) == {StochasticNorm}
        said.append(trained.network.eval()(images))
        return trained

    monkeypatch.setattr(fitting, "train_all", listening)
    trained = train(given())
    norms = [part for part in trained.network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    assert {type(part) for part in norms} == {nn.BatchNorm2d}
    assert not any(part.training for part in norms)
    assert torch.equal(trained.network(images), said[0])
    assert f"{len(norms)} batch norms" in trained.notes[-1]


def test_training_depends_on_it() -> None:
    heads = [
        train(
            StrategyInput(**{**vars(given(epochs=1)), "options": StochNorm(probability=probability)})
        ).network.state_dict()["head.out.weight"]
        for probability in (0.0, 0.5)
    ]
    assert not torch.equal(*heads)


def test_a_divergence_leaves_plain_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[nn.Module] = []
    made = TrainingLoop.__init__

    def noting(self: TrainingLoop, network: Any, *rest: Any, **options: Any) -> None:
        seen.append(network)
        made(self, network, *rest, **options)

    monkeypatch.setattr(TrainingLoop, "__init__", noting)
    monkeypatch.setattr(TrainingLoop, "epoch", _diverged)
    with pytest.raises(DivergedError):
        train(given())
    assert not any(isinstance(part, StochasticNorm) for part in seen[0].modules())


def _diverged(self: TrainingLoop, *rest: Any) -> float:
    raise DivergedError("at once")


def test_a_backbone_without_batch_norm_is_refused_with_what_can_serve() -> None:
    with pytest.raises(RefusedError, match=r"stochnorm: cnn has no plain batch norm; .* use l2sp, delta or bss"):
        train(task("stochnorm", start("cnn")))
