import pytest

from graftline.training.loop.early_stopping import EarlyStopping


def test_it_lowers_the_rate_after_half_of_its_patience_then_stops() -> None:
    plateau = EarlyStopping(4)
    assert plateau.look(0.5, 1.0, may_decay=True)
    factors = []
    while not plateau.exhausted:
        assert not plateau.look(0.5, 1.0, may_decay=True)
        factors.append(plateau.factor)
    assert factors == pytest.approx([1, 0.3, 0.3, 0.09])


def test_improvement_renews_its_patience() -> None:
    plateau = EarlyStopping(2)
    plateau.look(0.5, 1.0, may_decay=True)
    plateau.look(0.4, 1.0, may_decay=True)
    assert plateau.look(0.6, 1.0, may_decay=True)
    assert plateau.since == 0


def test_the_loss_breaks_ties_but_not_by_a_hair() -> None:
    plateau = EarlyStopping(2)
    plateau.look(0.5, 1.0, may_decay=True)
    assert not plateau.look(0.5, 0.995, may_decay=True)
    assert plateau.look(0.5, 0.9, may_decay=True)


def test_the_rate_waits_until_it_may_fall() -> None:
    plateau = EarlyStopping(2)
    for _ in range(5):
        plateau.look(0.5, 1.0, may_decay=False)
    assert plateau.factor == 1
    plateau.look(0.5, 1.0, may_decay=True)
    assert plateau.factor == pytest.approx(0.3)


def test_nan_is_never_better() -> None:
    plateau = EarlyStopping(2)
    assert not plateau.look(float("nan"), float("nan"), may_decay=True)
