"""The budget's split: never over the budget, never empty, and never worse for a larger budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.config import Auto
from graftline.selection.tournament.pool import POOL, SourceProperties, applies, entries
from graftline.selection.tournament.rungs import FEWEST, Rungs, rungs_of, split
from graftline.strategies.cotuning import CoTuning
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.staged import Staged
from graftline.strategies.stochnorm import StochNorm
from graftline.strategies.zero import Zero

BEFORE = st.lists(st.integers(0, 2), min_size=1, max_size=40)
BUDGET, LENGTH = st.integers(0, 3000), st.integers(1, 200)


@given(BUDGET, LENGTH, BEFORE)
def test_no_rung_is_empty_and_their_sum_is_within_the_budget(budget: int, length: int, before: list[int]) -> None:
    found = split(budget, length, before)
    if found is None:
        assert rungs_of(min(FEWEST, len(before)), 1).cost(before) > budget
        return
    assert found.cost(before) <= budget
    assert min(found.sizes) >= 1
    assert found.sizes[0] >= min(FEWEST, len(before))
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    assert list(found.ends) == sorted(found.ends)
    assert found.ends[0] >= 1
    assert found.ends[-1] <= length


@given(BUDGET, st.integers(1, 500), LENGTH, BEFORE)
def test_a_larger_budget_is_never_worse(budget: int, more: int, length: int, before: list[int]) -> None:
    small, large = split(budget, length, before), split(budget + more, length, before)
    if small is not None:
        assert large is not None
        assert (large.ends[-1], large.sizes[0]) >= (small.ends[-1], small.sizes[0])


def test_a_known_answer() -> None:
    """Nine candidates of 13 passes: three rungs of nine passes each."""
    found = split(27, 13, [0] * 9)
    assert found == Rungs((9, 3, 1), (1, 4, 13))
    assert [size * step for size, step in zip(found.sizes, found.steps, strict=True)] == [9, 9, 9]
    assert split(26, 13, [0] * 9) == Rungs((8, 3, 1), (1, 4, 13))


def test_nothing_to_race_makes_no_rungs() -> None:
    assert split(0, 1, []) == Rungs((0, 0, 0), (0, 0, 0))


def test_a_list_races_at_three_rates_and_what_has_none_once() -> None:
    found = [(entry.choice.name, entry.suffix) for entry, asked in entries([Feature(), Full()]) if asked]
    assert found == [("feature", ""), ("full", ""), ("full", "-lr3"), ("full", "-lr0.33")]


def test_auto_is_the_pool_and_takes_what_is_named_beside_it_once() -> None:
    assert [entry for entry, _ in entries([Auto()])] == list(POOL)
    found = [
        (entry.choice, entry.variant.rate_factor, entry.variant.zoom, entry.variant.is_short)
        for entry, _ in entries([Auto(), Staged()])
    ]
    assert len(found) == len(set(map(str, found)))


def test_what_a_source_cannot_serve_does_not_race() -> None:
    bare = SourceProperties(has_shared_classes=False, has_trained_head=False, has_batch_norm=False)
    left_out = {type(entry.choice) for entry in POOL if entry.variant.zoom == 1 and not applies(entry, bare)}
    assert left_out == {Zero, CoTuning, StochNorm}
    whole = SourceProperties(has_shared_classes=True, has_trained_head=True, has_batch_norm=True, side=224)
    assert all(applies(entry, whole) for entry in POOL)
    other = SourceProperties(
        has_shared_classes=True, has_trained_head=True, has_batch_norm=True, task="regression", side=224
    )
    assert {type(entry.choice) for entry in POOL if not applies(entry, other)} == {Zero, CoTuning}


@pytest.mark.parametrize(
    ("side", "raced"), [(0, []), (32, []), (96, [128]), (128, [160, 96]), (160, [224, 96]), (224, [288, 160])]
)
def test_resolutions_race_where_the_network_takes_them(side: int, raced: list[int]) -> None:
    source = SourceProperties(has_shared_classes=False, has_trained_head=False, has_batch_norm=True, side=side)
    assert [entry.side(side) for entry in POOL if entry.variant.zoom != 1 and applies(entry, source)] == raced
