import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.training.loop.schedule import LONGEST, SCHEDULES, factor


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 5_000), st.data())
def test_every_step_has_a_rate_above_zero_and_at_most_the_peak(name: str, steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < factor(step, steps, name) <= 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_rises_over_one_twentieth(name: str) -> None:
    rising = [factor(step, 1_000, name) for step in range(51)]
    assert rising == sorted(rising)
    assert rising[50] == 1


def test_the_rise_is_capped() -> None:
    assert factor(LONGEST, 10**6, "constant") == 1


def test_cosine_falls_to_half_at_half() -> None:
    assert factor(50 + 475, 1_000, "cosine") == pytest.approx(0.5)
    assert factor(999, 1_000, "cosine") < 1e-5


def test_constant_stays() -> None:
    assert factor(999, 1_000, "constant") == 1
