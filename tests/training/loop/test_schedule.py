import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.training.loop.schedule import MAX_WARMUP_STEPS, SCHEDULES, lr_factor


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 5_000), st.data())
def test_every_step_has_a_rate_above_zero_and_at_most_the_peak(name: str, steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < lr_factor(step, steps, name) <= 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_takes_one_twentieth_of_the_steps(name: str) -> None:
    rising = [lr_factor(step, 1_000, name) for step in range(51)]
    assert rising == sorted(rising)
    assert rising[50] == 1


def test_warmup_has_a_maximum_length() -> None:
    assert lr_factor(MAX_WARMUP_STEPS, 10**6, "constant") == 1


def test_cosine_falls_to_half_at_half() -> None:
    assert lr_factor(50 + 475, 1_000, "cosine") == pytest.approx(0.5)
    assert lr_factor(999, 1_000, "cosine") < 1e-5


def test_the_constant_schedule_stays_at_the_peak() -> None:
    assert lr_factor(999, 1_000, "constant") == 1
