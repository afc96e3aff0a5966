import numpy as np
import pytest
import torch

from graftline.selection.crossvalidation import cross_validate
from graftline.strategies import STRATEGIES
from graftline.training.batches.samples import Samples
from graftline.training.interface import StrategyInput, StrategyResult
from tests.builders.training import start, task


def recording(seen: list[tuple[Samples, Samples]]):  # type: ignore[no-untyped-def]
    def train(given: StrategyInput) -> StrategyResult:
        made = STRATEGIES["feature"].train(given)

        def predict(samples: Samples) -> torch.Tensor:
            seen.append((given.train, samples))
            return made.predict(samples)

        return StrategyResult(made.network, made.contract, made.small, made.head, predict)

    return train


def test_two_times_five_folds_never_score_what_they_trained_on() -> None:
    given = task("feature", start(), a_class=6, val=4)
    seen: list[tuple[Samples, Samples]] = []
    found = cross_validate(recording(seen), given, given.train.all_samples())
    assert len(seen) == 10
    for train, held in seen:
        assert not set(train.indices.tolist()) & set(held.indices.tolist())
        assert len(train) + len(held) == 30
    assert sorted(np.concatenate([held.indices for _, held in seen]).tolist()) == sorted([*range(30), *range(30)])
    assert found.method == "2 x 5-fold over train + validation"
    assert 0.9 < found.main <= 1


def test_the_backbone_is_asked_once_for_all_folds() -> None:
    source = start()
    given = task("feature", source)
    calls = []
    kept = source.frozen_outputs

    def counted(name: str, module: torch.nn.Module, *rest: object) -> torch.Tensor:
        hook = module.register_forward_hook(lambda *_: calls.append(name))
        try:
            return kept(name, module, *rest)  # type: ignore[arg-type]
        finally:
            hook.remove()

    source.frozen_outputs = counted  # type: ignore[method-assign]
    cross_validate(STRATEGIES["feature"].train, given, given.train.all_samples())
    STRATEGIES["feature"].train(given)
    assert len(calls) == 1


@pytest.mark.parametrize(("a_class", "method"), [(2, "2 x 2-fold"), (3, "2 x 3-fold")])
def test_few_samples_give_fewer_folds(a_class: int, method: str) -> None:
    given = task("feature", start(), a_class=a_class, val=0)
    assert cross_validate(STRATEGIES["feature"].train, given, given.train.all_samples()).method.startswith(method)
