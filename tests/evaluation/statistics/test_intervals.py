import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.evaluation.statistics.intervals import bonett_price, holm, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Brown, Cai and DasGupta 2001
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "n", "low", "high"),
    [
        (1, 7, 21, -0.5084, -0.0134),  # pairs of Bentur et al. 2009; -6/23 +- 1.96 sqrt((10/23 - (6/23)^2) / 23)
        (6, 16, 161, -0.1195, -0.0032),  # pairs of Cavo et al. 2012, likewise
        (0, 0, 98, -0.0277, 0.0277),  # nothing differs: 0 +- 1.96 sqrt(2) / 100
    ],
)
def test_bonett_price_gives_known_intervals(first: int, second: int, n: int, low: float, high: float) -> None:
    assert bonett_price(first, second, n) == pytest.approx((low, high), abs=5e-5)


@given(st.data())
def test_intervals_hold_the_estimate_and_have_width(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 10**6))
    a = data.draw(st.integers(0, n))
    b = data.draw(st.integers(0, n - a))
    low, high = wilson(a, n)
    assert 0 <= low <= a / n <= high <= 1
    assert low < high
    low, high = bonett_price(a, b, n)
    assert -1 <= low <= (a - b) / n <= high <= 1
    assert low < high


@given(st.integers(0, 99))
def test_more_successes_move_both_ends_up(successes: int) -> None:
    one, next_one = wilson(successes, 100), wilson(successes + 1, 100)
    assert one.low < next_one.low
    assert one.high < next_one.high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_a_share_that_is_none_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(successes, n)


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        bonett_price(4, 4, 7)


def test_holm_on_its_known_example() -> None:
    """0.01 <= 0.05/4, 0.02 > 0.05/3: the rest is not looked at, though 0.03 <= 0.05."""
    assert holm([0.03, 0.01, 0.02, 0.04], 0.05) == [False, True, False, False]
    assert holm([0.01, 0.01], 0.05) == [True, True]
    assert holm([float("nan"), 0.2], 0.05) == [False, False]
    assert holm([], 0.05) == []
