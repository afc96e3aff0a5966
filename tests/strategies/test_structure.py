import pytest
import torch

from graftline.runtime.errors import RefusedError
from graftline.strategies.structure import Structure, train
from tests.builders.training import start, task


def test_unchanged_it_has_the_sources_shapes_and_none_of_its_weights() -> None:
    source = start()
    trained = train(task("structure", source))
    theirs = source.network.state_dict()
    for key, value in trained.network.state_dict().items():
        assert value.shape == theirs[key].shape
        assert not torch.equal(value, theirs[key])
    assert trained.architecture == {}
    assert set(trained.reinitialised) == set(theirs) == set(trained.dropped)


def test_it_changes_what_it_is_told_and_says_so() -> None:
    trained = train(task("structure", start(), options=Structure(width=2.0, depth=1, kernel=5)))
    weights = trained.network.state_dict()
    assert weights["backbone.conv1.weight"].shape == (16, 1, 5, 5)
    assert weights["backbone.conv3.weight"].shape[0] == 24
    assert trained.architecture == {"width": 2.0, "depth": 1, "kernel": 5}
    assert trained.notes == ["architecture changed: width 2.0, depth 1, kernel 5"]


def test_what_a_backbone_cannot_change_is_refused() -> None:
    with pytest.raises(RefusedError, match="cannot change its stem"):
        train(task("structure", start(), options=Structure(stem="small")))
