import pytest

from graftline.training.loop.early_stopping import EarlyStopping


def test_the_learning_rate_is_reduced_after_half_of_the_patience_before_stopping() -> None:
    early_stopping = EarlyStopping(4)
    assert early_stopping.update(0.5, 1.0, may_reduce_lr=True)
    factors = []
    while not early_stopping.should_stop:
        assert not early_stopping.update(0.5, 1.0, may_reduce_lr=True)
        factors.append(early_stopping.lr_factor)
    assert factors == pytest.approx([1, 0.3, 0.3, 0.09])


def test_an_improvement_resets_the_patience() -> None:
    early_stopping = EarlyStopping(2)
    early_stopping.update(0.5, 1.0, may_reduce_lr=True)
    early_stopping.update(0.4, 1.0, may_reduce_lr=True)
    assert early_stopping.update(0.6, 1.0, may_reduce_lr=True)
    assert early_stopping.num_bad_epochs == 0


def test_the_loss_breaks_ties_if_it_decreases_enough() -> None:
    early_stopping = EarlyStopping(2)
    early_stopping.update(0.5, 1.0, may_reduce_lr=True)
    assert not early_stopping.update(0.5, 0.995, may_reduce_lr=True)
    assert early_stopping.update(0.5, 0.9, may_reduce_lr=True)


def test_the_learning_rate_is_not_reduced_before_it_may_be() -> None:
    early_stopping = EarlyStopping(2)
    for _ in range(5):
        early_stopping.update(0.5, 1.0, may_reduce_lr=False)
    assert early_stopping.lr_factor == 1
    early_stopping.update(0.5, 1.0, may_reduce_lr=True)
    assert early_stopping.lr_factor == pytest.approx(0.3)


def test_nan_is_never_better() -> None:
    early_stopping = EarlyStopping(2)
    assert not early_stopping.update(float("nan"), float("nan"), may_reduce_lr=True)
