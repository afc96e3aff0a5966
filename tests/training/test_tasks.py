"""Numbers and several labels: losses, scores, folds, heads in closed form, against other people's code."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score

from graftline.config import Head, Small, Training
from graftline.models.head import new_head
from graftline.models.objective import Objective
from graftline.runtime.errors import RefusedError
from graftline.training.batches.losses import loss_of
from graftline.training.head import linear, ridge
from graftline.training.head.heads import FeatureSet, fit_head
from graftline.training.head.linear import LinearProblem, fit_linear
from graftline.training.progress import Progress
from graftline.training.validation import folds, hold_out, score
from tests.builders.networks import build
from tests.builders.training import contract

NUMBERS = Objective("regression", (100.0, -3.0), (10.0, 0.5))
LABELS = Objective("multilabel")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def numbers(count: int, size: int, noise: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    features = normal(count, size) * torch.linspace(0.5, 3, size) + 4
    clean = (features - 4) @ normal(size, 2, seed=1) / size**0.5
    standard = clean + noise * normal(count, 2, seed=2)
    return features, standard * torch.tensor(NUMBERS.deviation) + torch.tensor(NUMBERS.mean)


def test_the_loss_of_numbers_counts_deviations() -> None:
    off = torch.tensor([[110.0, -3.0], [100.0, -4.0]])
    aim = torch.tensor([[100.0, -3.0], [100.0, -3.0]])
    assert loss_of("cross_entropy", NUMBERS)(off, aim, 0.1).item() == pytest.approx((1 + 0 + 0 + 4) / 4)
    assert loss_of("huber", NUMBERS)(off, aim, 0.0).item() == pytest.approx((0.5 + 0 + 0 + 1.5) / 4)


def test_the_loss_of_labels() -> None:
    logits, labels = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    expected = (np.log(2) + np.log1p(np.exp(2))) / 2
    assert loss_of("cross_entropy", LABELS)(logits, labels, 0.0).item() == pytest.approx(expected)
    smooth = (np.log(2) + 0.9 * np.log1p(np.exp(2)) + 0.1 * np.log1p(np.exp(-2))) / 2
    assert loss_of("cross_entropy", LABELS)(logits, labels, 0.2).item() == pytest.approx(smooth)


def test_a_loss_of_another_task_is_refused() -> None:
    with pytest.raises(RefusedError, match="loss: huber does not fit multilabel, which takes cross_entropy"):
        loss_of("huber", LABELS)


def test_the_score_of_numbers_is_the_mean_of_standardized_rmse() -> None:
    labels = np.zeros((4, 2), np.float32)
    found = score(torch.tensor([[10.0, 0.5], [-10.0, 0.5], [10.0, -0.5], [-10.0, -0.5]]), labels, objective=NUMBERS)
    assert (found.accuracy, found.main, found.loss) == (None, pytest.approx(-1), pytest.approx(1))
    assert found.se == pytest.approx(0)


def test_its_standard_error_is_that_of_a_bootstrap() -> None:
    labels = np.zeros((300, 2), np.float32)
    values = (normal(300, 2).exp() * torch.tensor(NUMBERS.deviation)).float()
    draw = np.random.default_rng(0)
    again = [
        score(values[places], labels, objective=NUMBERS).main
        for places in (draw.integers(0, 300, 300) for _ in range(400))
    ]
    assert score(values, labels, objective=NUMBERS).se == pytest.approx(np.std(again), rel=0.15)


def test_the_score_of_labels_is_macro_average_precision() -> None:
    draw = np.random.default_rng(0)
    labels = (draw.random((50, 3)) < [0.5, 0.2, 0.0]).astype(np.float32)
    logits = torch.from_numpy((labels + draw.normal(0, 1, labels.shape)).astype(np.float32))
    found = score(logits, labels, objective=LABELS)
    theirs = average_precision_score(labels[:, :2], logits[:, :2].numpy(), average="macro")
    assert (found.accuracy, found.main) == (None, pytest.approx(theirs))
    assert 0.02 < found.se < 0.2


def test_labels_that_nobody_has_are_not_known_for_certain() -> None:
    found = score(torch.zeros(3, 2), np.zeros((3, 2), np.float32), objective=LABELS)
    assert (found.main, found.se) == (0, 1)


@pytest.mark.parametrize("free_bias", [True, False])
def test_ridge_is_ridge(free_bias: bool) -> None:
    """sklearn minimizes the sum of squares + alpha |W|^2: ours is its mean over samples and outputs."""
    features, labels = numbers(60, 5)
    solved = ridge.RidgeSolver.of(features, labels) if free_bias else None
    weight, bias = solved.weights(0.3) if solved else ridge.fit_with_penalized_bias(features, labels, 0.3)
    inputs = features.numpy() if free_bias else np.c_[features.numpy(), np.ones(60)]
    theirs = Ridge(alpha=0.3 * 60 * 2, fit_intercept=free_bias).fit(inputs.astype(float), labels.numpy())
    wanted = (theirs.coef_, theirs.intercept_) if free_bias else (theirs.coef_[:, :-1], theirs.coef_[:, -1])
    np.testing.assert_allclose(weight.numpy(), wanted[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(bias.numpy(), wanted[1], rtol=1e-6)


@pytest.mark.parametrize(("count", "size"), [(200, 8), (40, 120)])
def test_a_linear_layer_on_numbers_is_ridge_on_standardized_ones(count: int, size: int) -> None:
    features, labels = numbers(count, size)
    layer, _, l2 = fit_linear(features, labels, LinearProblem(2, "cross_entropy", 0.0, 50, NUMBERS), l2=0, seed=0)
    mean, deviation = linear.feature_moments(features)
    scaled = ((features - mean) / deviation).numpy().astype(float)
    aim = (labels.numpy() - np.array(NUMBERS.mean)) / np.array(NUMBERS.deviation)
    theirs = Ridge(alpha=l2 * count * 2).fit(scaled, aim)
    np.testing.assert_allclose(layer(features).detach().numpy(), theirs.predict(scaled), atol=2e-3)


def test_noise_gets_stronger_regularization_than_signal() -> None:
    features, labels = numbers(80, 20, noise=0.05)
    problem = LinearProblem(2, "cross_entropy", 0.0, 50, NUMBERS)
    noise = normal(80, 20, seed=5)
    assert (
        fit_linear(noise, labels, problem, l2=0, seed=0)[2]
        > 10 * fit_linear(features, labels, problem, l2=0, seed=0)[2]
    )


def test_huber_minds_an_outlier_less() -> None:
    features, labels = numbers(120, 4, noise=0.1)
    clean = labels.clone()
    labels[::10] += 1000
    left = {}
    for loss in ("cross_entropy", "huber"):
        layer, _, _ = fit_linear(features, labels, LinearProblem(2, loss, 0.0, 200, NUMBERS), l2=0, seed=0)
        values = layer(features) * torch.tensor(NUMBERS.deviation) + torch.tensor(NUMBERS.mean)
        left[loss] = (values - clean)[:, 0].abs().median().item()
    assert left["huber"] < left["cross_entropy"] / 5


def test_several_labels_are_one_logistic_regression_each() -> None:
    features = normal(120, 6) * 2 + 1
    labels = (features @ normal(6, 3, seed=1) + normal(120, 3, seed=2) > 2).float()
    layer, _, l2 = fit_linear(features, labels, LinearProblem(3, "cross_entropy", 0.0, 2000, LABELS), l2=0, seed=0)
    mean, deviation = linear.feature_moments(features)
    scaled = ((features - mean) / deviation).numpy()
    for label in range(3):
        theirs = LogisticRegression(C=1 / (2 * l2 * 3 * 120), tol=1e-8, max_iter=5000).fit(scaled, labels[:, label])
        mine = layer(features)[:, label].sigmoid().detach().numpy()
        np.testing.assert_allclose(mine, theirs.predict_proba(scaled)[:, 1], atol=2e-3)


@pytest.mark.parametrize("hidden", [[], [16]])
def test_a_head_on_numbers_answers_in_their_own_units(hidden: list[int]) -> None:
    features, labels = numbers(300, 6, noise=0.05)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = new_head(6, 2, Head(hidden=hidden), NUMBERS)
    before = {key: value.clone() for key, value in head.named_buffers()}
    fitted = fit_head(
        head,
        FeatureSet(features, labels, NUMBERS),
        Training(batch_size=16),
        iterations=60,
        seed=0,
        progress=Progress(1),
    )
    residual = ((head(features) - labels) / torch.tensor(NUMBERS.deviation)).square().mean().item()
    assert residual < 0.1
    assert all(torch.equal(value, before[key]) for key, value in head.named_buffers())
    assert fitted.note.startswith("head: 60 passes" if hidden else "head: ridge regression in closed form, l2 ")


def test_a_network_says_what_its_outputs_mean() -> None:
    def made(objective: Objective | None) -> Any:
        return build("cnn", 2, input=contract(), small=Small(widths=[4]), objective=objective)

    assert made(NUMBERS).objective == NUMBERS
    assert made(LABELS).objective == LABELS
    assert made(None).objective == Objective()
    assert {"head.scale.mean", "head.scale.deviation"} <= made(NUMBERS).state_dict().keys()
    assert all("scale" not in name for name, _ in made(NUMBERS).named_parameters())


def test_values_are_whole_in_16_bits() -> None:
    head = new_head(4, 1, Head(), Objective("regression", (1000.0,), (0.1,)))
    with torch.autocast("cpu", torch.bfloat16):
        values = head(normal(8, 4))
    assert values.dtype == torch.float32
    assert len(set(values[:, 0].tolist())) == 8


def test_folds_of_numbers_have_alike_numbers() -> None:
    labels = np.random.default_rng(0).exponential(size=(200, 1)).astype(np.float32)
    pairs = folds(labels, 0, repeats=2)
    assert len(pairs) == 10
    assert sorted(np.concatenate([held for _, held in pairs[:5]]).tolist()) == list(range(200))
    means = [float(labels[held].mean()) for _, held in pairs]
    assert np.ptp(means) < 0.25 * labels.mean()


def test_folds_of_labels_have_each_label() -> None:
    labels = (np.random.default_rng(0).random((100, 4)) < [0.5, 0.2, 0.1, 0.06]).astype(np.float32)
    pairs = folds(labels, 0)
    assert sorted(np.concatenate([held for _, held in pairs]).tolist()) == list(range(100))
    assert max(np.ptp([labels[held][:, k].sum() for _, held in pairs]) for k in range(4)) <= 2
    train, held = hold_out(labels, 0)
    assert len(train) + len(held) == 100
    assert abs(len(held) - 20) <= 1
