from collections import Counter

import numpy as np

from graftline.data.stratification import ANY, iterative, quantile_bins


def wants(total: Counter[str], shares: dict[str, float]) -> dict[str, Counter[str]]:
    return {part: Counter({name: share * count for name, count in total.items()}) for part, share in shares.items()}


def test_the_rarest_label_goes_first_as_in_the_paper() -> None:
    # 6 samples: `rare` is held by 0 and 1; dealt by the frequent label first, both could land in one half.
    labels = [["rare", "often"], ["rare"], ["often"], ["often"], ["often"], []]
    sizes = [Counter([ANY, *names]) for names in labels]
    parts = iterative(sizes, wants(sum(sizes, Counter()), {"one": 0.5, "two": 0.5}))
    # rare: 0 to one (a tie, the first), 1 to two. often: 2 to two (it wants 2, one wants 1), then a tie of 1 and 1 by
    # all samples: one wants 2, two wants 1, so 3 to one; 4 to two. 5 has none: one wants 1.
    assert parts == ["one", "two", "two", "one", "two", "one"]


def test_every_label_is_spread_as_the_whole() -> None:
    draw = np.random.default_rng(0)
    held = draw.random((900, 6)) < np.array([0.5, 0.3, 0.1, 0.05, 0.02, 0.01])
    held[:, 1] |= held[:, 2]  # labels that come together
    sizes = [Counter([ANY, *map(str, np.flatnonzero(row))]) for row in held]
    parts = np.array(iterative(sizes, wants(sum(sizes, Counter()), {"a": 0.7, "b": 0.15, "c": 0.15})))
    for part, share in (("a", 0.7), ("b", 0.15), ("c", 0.15)):
        assert abs((parts == part).sum() - share * 900) <= 3
        assert np.abs(held[parts == part].sum(0) - share * held.sum(0)).max() <= 2


def test_bins_are_of_equal_size_and_in_order() -> None:
    values = np.random.default_rng(0).permutation(200).astype(float)[:, None] ** 3
    bins = quantile_bins(values)
    assert Counter(bins.tolist()) == Counter({number: 20 for number in range(10)})
    assert (np.diff(bins[np.argsort(values[:, 0])]) >= 0).all()


def test_few_or_equal_values_have_fewer_bins() -> None:
    assert set(quantile_bins(np.arange(9.0)[:, None])) == {0}
    assert len(set(quantile_bins(np.arange(35.0)[:, None]))) == 3
    assert len(set(quantile_bins(np.repeat([1.0, 7.0], 100)[:, None]))) == 2
    assert len(set(quantile_bins(np.ones((50, 2))))) == 1
    assert len(quantile_bins(np.empty((0, 3)))) == 0


def test_outputs_that_move_together_are_binned_by_what_they_share() -> None:
    line = np.arange(100.0)
    both = quantile_bins(np.stack([line, 1000 - 5 * line], 1))
    alone = quantile_bins(line[:, None])
    assert np.array_equal(both, alone) or np.array_equal(both, alone.max() - alone)
