from pathlib import Path

import numpy as np
import pytest
import torch

from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.inputs.preprocessing import prepare
from graftline.models.loading import load_checkpoint
from graftline.models.objective import Objective
from graftline.strategies.methods.source_classes import empirical
from graftline.strategies.zero import train
from graftline.training.interface import NotApplicableError
from tests.builders.training import CLASSES, start, task


def test_same_classes_in_another_order_are_the_source_model_in_that_order() -> None:
    source = start()
    given = task("zero", source, classes=["three", "One", "two"])
    images = prepare(given.val.images(np.arange(len(given.val))), given.contract)
    expected = source.network(images).log_softmax(1)[:, [2, 0, 1]]
    torch.testing.assert_close(train(given).predict(given.val), expected, atol=1e-5, rtol=1e-5)


def test_synonyms_add_up() -> None:
    source = start(classes=["ant, emmet", "bee", "ant"])
    given = task("zero", source, classes=["ant", "bee"])
    images = prepare(given.val.images(np.arange(len(given.val))), given.contract)
    chances = source.network(images).softmax(1)
    torch.testing.assert_close(
        train(given).predict(given.val).exp(),
        torch.stack([chances[:, 0] + chances[:, 2], chances[:, 1]], 1),
        atol=1e-5,
        rtol=1e-4,
    )


def test_a_class_without_a_namesake_is_named_and_never_predicted() -> None:
    given = task("zero", start(), classes=["one", "two", "four"])
    trained = train(given)
    assert trained.notes == [
        "2 of 3 classes matched by name",
        "never predicted, because no source class has the name: four",
    ]
    assert not (trained.predict(given.val).argmax(1) == 2).any()


def test_without_any_namesake_the_map_is_counted_and_said_so() -> None:
    given = task("zero", start(), classes=["red", "green", "blue"])
    trained = train(given)
    assert "counted on training labels" in trained.notes[0]
    assert trained.predict(given.val).exp().sum(1).numpy() == pytest.approx(1, abs=1e-5)
    assert (trained.examples_seen, trained.trained_parameters) == (0, 0)


def test_the_empirical_map_has_a_known_answer() -> None:
    # Two source classes; images 0, 1 are of class 0, image 2 of class 1.
    shares, _ = empirical(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(shares, [[1.0, 1 / 3], [0.0, 2 / 3]])


def test_a_source_without_classes_is_not_applicable() -> None:
    source = start()
    source.manifest = source.manifest.model_copy(update={"classes": []})
    with pytest.raises(NotApplicableError, match="no trained head"):
        train(task("zero", source))


def test_it_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    given = task("zero", start(), classes=["red", "green"])
    trained = train(given)
    manifest = CheckpointManifest(
        name="zero",
        backbone="cnn",
        small=trained.small,
        head=trained.head,
        mapped_from=trained.mapped_from,
        classes=["red", "green"],
        input=trained.contract,
        strategy="zero",
        seed=0,
        dataset_digest=None,
        config="{}",
        licence="test",
        row=CandidateResult(),
    )
    checkpoint.write(tmp_path / "zero", manifest, trained.network)
    again, _ = load_checkpoint(tmp_path / "zero")
    images = prepare(given.val.images(np.arange(len(given.val))), given.contract)
    torch.testing.assert_close(again(images), trained.predict(given.val), atol=1e-5, rtol=1e-5)
    assert len(CLASSES) == trained.mapped_from


def test_numbers_are_no_classes_to_map() -> None:
    numbers = Objective("regression", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(NotApplicableError, match="those of classification, the target's of regression"):
        train(task("zero", start(), objective=numbers))
