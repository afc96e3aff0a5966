"""Strategies in a config: unknown names, wrong options and unsuitable tasks are refused with the key."""

from typing import Any

import pytest

from graftline.cli.options import load_config
from graftline.config import Auto, Config, Control, Head, StrategyChoice, Training
from graftline.config.file import check
from graftline.config.jobs import FinetuneJob, jobs_of
from graftline.runtime.errors import RefusedError
from graftline.strategies import STRATEGIES
from graftline.strategies.lookup import CHOICES, resolve, resolve_config
from graftline.strategies.partial import Partial

LEAST: dict[str, Any] = {"target": {"data": "x"}}


def config(*strategies: Any, **more: Any) -> Config:
    return check({**LEAST, "strategies": list(strategies), **more}, "x")


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        ([{"partial": {"freze": 3}}], "FILE: strategies.0.partial.freze: unknown key; did you mean 'freeze'?"),
        (
            ["full", "stagd"],
            "FILE: strategies.1: unknown name 'stagd'; did you mean 'staged'? known: 'zero',",
        ),
        (["control"], "FILE: strategies.0: unknown name 'control'; "),
        ([{"structure": {"kernel": 4}}], "FILE: strategies.0.structure.kernel: 4 is even; expected an odd number"),
        ([{"staged": {"stages": 0}}], "FILE: strategies.0.staged.stages: Input should be greater than or equal to 1"),
        ([{"auto": {"x": 1}}], "FILE: strategies.0.auto.x: unknown key"),
    ],
)
def test_message(strategies: list[Any], expected: str) -> None:
    with pytest.raises(RefusedError) as caught:
        resolve_config(config(*strategies), "FILE")
    assert str(caught.value).startswith(expected)


def test_every_error_is_listed() -> None:
    with pytest.raises(RefusedError) as caught:
        resolve_config(config("ful", {"partial": {"freze": 1}}, {"lora": {"rank": 0}}))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("task", ["regression", "multilabel"])
@pytest.mark.parametrize("name", CHOICES)
def test_a_strategy_for_other_tasks_is_refused(name: str, task: str) -> None:
    if name == Auto().name or task in STRATEGIES[name].tasks:
        resolve_config(config(name, task=task))
        return
    with pytest.raises(RefusedError, match=rf"^x: strategies: {name} serves only .*, not {task}; remove it"):
        resolve_config(config(name, task=task), "x")


def test_the_command_line_refuses_before_any_step() -> None:
    with pytest.raises(RefusedError, match="unknown name 'stagd'; did you mean 'staged'"):
        load_config(None, ["strategies=[stagd]"])


def test_jobs_hold_every_default() -> None:
    plan = jobs_of(resolve_config(config("partial", {"wise": {"alpha": 0.25}})), {}).plan
    assert [choice.model_dump() for choice in plan.strategies] == [
        {"name": "partial", "carry": None, "freeze": None},
        {"name": "wise", "alpha": 0.25},
    ]


def test_a_job_read_from_json_resolves_to_the_same_options() -> None:
    options = Partial(carry=3, freeze="conv1")
    job = FinetuneJob(
        name="source-partial",
        source="source",
        strategy=options,
        head=Head(),
        training=Training(epochs=2),
        control=Control(),
        longest=10,
        cross_validate=False,
        seed=0,
    )
    again = FinetuneJob.model_validate_json(job.to_json())
    assert again.strategy is not None
    assert again.to_json() == job.to_json()
    assert resolve(again.strategy) == options
    assert resolve(StrategyChoice(name="partial", carry=3, freeze="conv1")) == options  # type: ignore[call-arg]
