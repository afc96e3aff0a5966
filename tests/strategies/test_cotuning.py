import warnings

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from graftline.config import Training
from graftline.evaluation.statistics.temperature import fit_temperature
from graftline.strategies import cotuning
from graftline.strategies.cotuning import CoTuning
from graftline.strategies.methods.class_relation import STRENGTHS, learn_relation, relation
from graftline.strategies.weights import fitting
from graftline.training.interface import NotApplicableError
from graftline.training.loop.stepper import Batch
from graftline.training.validation import hold_out
from tests.builders.training import start, task

OTHER = ["red", "green", "blue"]


def drawn(images: int = 120, sources: int = 12, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Source probabilities that say something of the target's class, not all."""
    draw = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), images // classes)
    logits = draw.normal(size=(len(labels), sources))
    logits[np.arange(len(labels)), labels * 2] += 1.5
    return softmax(logits, axis=1), labels


def reference(train: np.ndarray, labels: np.ndarray, held: np.ndarray, held_labels: np.ndarray) -> np.ndarray:
    """The authors' `relationship_learning`, written anew with scikit-learn; the scale by our bounded search."""
    fits, right = [], []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = LogisticRegression(C=strength, fit_intercept=False, max_iter=20_000, tol=1e-9).fit(train, labels)
        fits.append(fit.coef_)
        right.append(np.mean(fit.predict(held) == held_labels))
    weight = fits[int(np.argmax(right))]
    scale = 1 / fit_temperature(held @ weight.T, held_labels)
    target_given_source = softmax(weight.T * scale, axis=1)
    marginal = np.concatenate([train, held]).mean(axis=0).reshape(-1, 1)
    joint = (target_given_source * marginal).T
    return joint / joint.sum(axis=1, keepdims=True)


def test_the_strengths_are_the_authors() -> None:
    assert (
        pytest.approx([1e4, 3e3, 1e3, 3e2, 1e2, 3e1, 1e1, 3.0, 1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4])
        == STRENGTHS
    )


@pytest.mark.parametrize("sources", [12, 200])  # 200: more source classes than images
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_relation_is_the_references(seed: int, sources: int) -> None:
    probabilities, labels = drawn(seed=seed, sources=sources)
    inside, held = hold_out(labels, seed)
    found = relation(probabilities, labels, inside, held, 3)
    wanted = reference(probabilities[inside], labels[inside], probabilities[held], labels[held])
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_two_target_classes_will_do() -> None:
    probabilities, labels = drawn(classes=2)
    found = relation(probabilities, labels, *hold_out(labels, 0), 2)
    assert found.argmax(axis=1).tolist() == [0, 2]


def test_without_a_held_out_part_it_is_each_classes_mean() -> None:
    probabilities, labels = drawn()
    found = relation(probabilities, labels, np.arange(len(labels)), np.arange(0), 4)
    np.testing.assert_allclose(found[1], probabilities[labels == 1].mean(axis=0))
    np.testing.assert_allclose(found[3], probabilities.mean(axis=0))  # a class without images knows nothing


def test_the_penalty_is_the_cross_entropy_of_the_sources_head(monkeypatch: pytest.MonkeyPatch) -> None:
    source = start()
    given = task("cotuning", source, classes=OTHER, options=CoTuning(strength=0.7))
    seen = {}

    def caught(task: object, network: torch.nn.Module, contract: object, groups: object, *, penalties: list) -> object:
        seen.update(network=network, penalty=penalties[0], groups=groups)
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "train_groups", caught)
    with pytest.raises(KeyboardInterrupt):
        cotuning.train(given)
    shares = learn_relation(given)
    features, labels = torch.randn(5, source.network.feature_size), torch.tensor([0, 1, 2, 2, 1])
    batch = Batch(torch.empty(0), features, torch.empty(0), labels)
    logits = source.network.head(features)
    wanted = -0.7 * (shares[labels] * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(seen["penalty"](batch), wanted)
    mixed = torch.tensor([[0.3, 0.7, 0.0]])
    batch = Batch(torch.empty(0), features[:1], torch.empty(0), mixed)
    wanted = -0.7 * ((mixed @ shares) * functional.log_softmax(logits[:1], dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(seen["penalty"](batch), wanted)
    rates = {id(w): each.lr for each in seen["groups"] for w in each.weights}
    kept = seen["network"].source_head
    assert rates[id(kept.out.weight)] == rates[id(seen["network"].backbone.conv1.weight)]


def test_the_sources_head_is_gone_in_the_end() -> None:
    source = start()
    training = Training(epochs=1, augment="none", batch_size=8)
    trained = cotuning.train(task("cotuning", source, classes=OTHER, training=training))
    assert list(trained.network.state_dict()) == list(source.network.state_dict())
    assert "learned from 18 training images, calibrated on" in trained.notes[-1]
    assert "red: " in trained.notes[-1]


def test_without_a_source_head_it_does_not_apply() -> None:
    source = start()
    object.__setattr__(source.manifest, "classes", [])
    with pytest.raises(NotApplicableError, match="no trained head"):
        cotuning.train(task("cotuning", source))


def test_a_head_on_other_features_does_not_apply() -> None:
    source = start()
    source.network.feature_size = 7
    with pytest.raises(NotApplicableError, match="takes 7 features, the pooled ones are 192"):
        cotuning.train(task("cotuning", source))
