import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from graftline.runtime.errors import DivergedError
from graftline.training.head import linear
from graftline.training.head.linear import LinearProblem, fit_linear

PROBLEM = LinearProblem(3, "cross_entropy", 0.0, 500)


def blobs(count: int, size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centers = torch.randn(3, size, generator=torch.Generator().manual_seed(9))
    return centers[labels] + 1.5 * torch.randn(count, size, generator=draw) + 4, labels


def test_the_fit_equals_the_logistic_regression_of_sklearn() -> None:
    """sklearn minimizes C sum loss + |W|^2 / 2 with free biases: our l2 is 1 / (2 C n) on standardized features."""
    features, labels = blobs(90, 6)
    layer, _, l2 = fit_linear(features, labels, PROBLEM, l2=0, seed=0)
    mean, deviation = linear.feature_moments(features)
    scaled = ((features - mean) / deviation).numpy()
    theirs = LogisticRegression(C=1 / (2 * l2 * 90), tol=1e-8, max_iter=5000).fit(scaled, labels.numpy())
    mine = layer(features).softmax(1).detach().numpy()
    np.testing.assert_allclose(mine, theirs.predict_proba(scaled), atol=2e-3)


def test_with_fewer_images_than_features_it_is_the_same_fit() -> None:
    features, labels = blobs(30, 200)
    turned, basis = linear.project_to_span(features)
    assert turned.shape == (30, 30)
    assert basis is not None
    exact = LinearProblem(3, "cross_entropy", 0.0, 2000)
    small, _, _ = linear.minimize(turned, labels, linear.zero_weights(turned, exact), exact, 0.05)
    large, _, _ = linear.minimize(features, labels, linear.zero_weights(features, exact), exact, 0.05)
    torch.testing.assert_close(small @ basis.T, large, atol=2e-3, rtol=0)


def test_noise_gets_stronger_regularization_than_signal() -> None:
    features, labels = blobs(60, 20)
    noise = torch.randn(60, 20, generator=torch.Generator().manual_seed(1))
    assert fit_linear(noise, labels, PROBLEM, l2=0, seed=0)[2] > fit_linear(features, labels, PROBLEM, l2=0, seed=0)[2]


def test_a_given_l2_penalizes_the_weights_without_standardization() -> None:
    features, labels = blobs(60, 5)
    layer, _, l2 = fit_linear(features, labels, PROBLEM, l2=0.02, seed=0)
    loss = torch.nn.functional.cross_entropy(layer(features), labels)
    loss = loss + 0.02 * sum(weight.square().sum() for weight in layer.parameters())
    assert l2 == 0.02
    for gradient in torch.autograd.grad(loss, list(layer.parameters())):
        assert gradient.abs().max() < 1e-3  # it is at the minimum of exactly that


def test_iterations_are_capped() -> None:
    features, labels = blobs(60, 5)
    assert fit_linear(features, labels, LinearProblem(3, "mse", 0.0, 3), l2=0, seed=0)[1] <= 3


def test_a_constant_feature_gets_a_weight_near_zero() -> None:
    features, labels = blobs(60, 5)
    features[:, 0] = 2.0
    layer, _, _ = fit_linear(features, labels, PROBLEM, l2=0, seed=0)
    assert layer.weight[:, 0].abs().max() < 1e-3


def test_one_image_a_class_still_gives_a_head() -> None:
    features, labels = blobs(3, 5)
    layer, _, _ = fit_linear(features, labels, PROBLEM, l2=0, seed=0)
    assert layer(features).argmax(1).tolist() == labels.tolist()


def test_features_that_are_not_finite_raise_an_error() -> None:
    features, labels = blobs(6, 5)
    features[2, 1] = float("nan")
    with pytest.raises(DivergedError, match="features are not finite"):
        fit_linear(features, labels, PROBLEM, l2=0, seed=0)
