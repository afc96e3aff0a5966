import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from graftline.config import Budget, Config, StrategyChoice
from graftline.config.file import absolute, check, load
from graftline.config.jobs import jobs_of
from graftline.report.run.config_yaml import to_yaml
from graftline.runtime.errors import RefusedError

LEAST = {"target": {"data": "flowers"}}


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(RefusedError) as caught:
        load(path, overrides)
    return str(caught.value).replace(str(path), "FILE")


MESSAGES = {
    "unknown key": (
        "target: {data: x}\nfinetune: {epoch: 3}",
        "FILE: finetune.epoch: unknown key; did you mean 'epochs'?",
    ),
    "missing key": ("source: {init: random}", "FILE: target: missing; it has no default"),
    "value out of range": (
        "target: {data: x}\nconfirm_seeds: -1",
        "FILE: confirm_seeds: Input should be greater than or equal to 1, found -1",
    ),
    "a loss of numbers": (
        "target: {data: x}\nfinetune: {loss: huber}",
        "FILE: finetune.loss: huber does not fit classification, which takes cross_entropy or mse",
    ),
    "a loss of classes": (
        "target: {data: x}\ntask: multilabel\nfinetune: {loss: mse}",
        "FILE: finetune.loss: mse does not fit multilabel, which takes cross_entropy",
    ),
    "smoothed numbers": (
        "target: {data: x}\ntask: regression\nfinetune: {label_smoothing: 0.1}",
        "FILE: finetune.label_smoothing: it mixes classes, which regression has none of; set 0",
    ),
    "balanced labels": (
        "target: {data: x}\ntask: multilabel\nfinetune: {balance: sampler}",
        "FILE: finetune.balance: sampler goes by classes, which multilabel has none of; set none",
    ),
    "numbers a class": (
        "target: {data: x, train_per_class: 3}\ntask: regression",
        "FILE: target: train_per_class counts the images of a class, which regression has none of; give fewer rows",
    ),
    "classes of numbers": (
        "target: {data: x, classes: [a]}\ntask: regression",
        "FILE: target: classes are set, which regression has none of; name its outputs' columns under columns.labels",
    ),
    "several columns of classes": (
        "target: {data: x, columns: {labels: [a, b]}}",
        "FILE: target: columns.labels are for regression and multilabel; classification "
        "takes the one column of columns.label",
    ),
    "one column and several": (
        "target: {data: x, columns: {label: a, labels: [b]}}\ntask: regression",
        "FILE: target.columns: label and labels are both set; set only one of them",
    ),
    "two sources of one name": (
        "target: {data: x}\nsource: [{init: random}, {init: random}]",
        "FILE: source: ['random'] name more than one source; set `name:` on each",
    ),
    "no source": (
        "target: {data: x}\nsource: []",
        "FILE: source: an empty list; give at least one source, `init: random` if there is none",
    ),
    "a budget of nothing": (
        "target: {data: x}\nbudget: 0",
        "FILE: budget.examples_seen: Input should be greater than or equal to 1",
    ),
    "an even kernel": (
        "target: {data: x}\nsmall: {kernel: 4}",
        "FILE: small.kernel: 4 is even; expected an odd number of pixels, so that the kernel has a center",
    ),
    "a section without keys": ("target: {data: x}\nfinetune: 3", "FILE: finetune: expected keys and values, found 3"),
    "nothing": ("", "FILE: empty, expected keys and values such as 'target:'"),
    "repeated key": (
        "target: {data: x}\ntarget: {data: y}",
        "FILE: not YAML: line 1: the key 'target' occurs more than once",
    ),
    "alias": ("a: &x 1\nb: *x", "FILE: not YAML: line 2: aliases (*name) are not allowed"),
    "object tag": ("a: !!python/object/apply:os.system ['true']", "FILE: not YAML: could not determine a constructor"),
    "a list": ("- a", "FILE: found list, expected keys and values such as 'target:'"),
}


@pytest.mark.parametrize(("text", "expected"), MESSAGES.values(), ids=list(MESSAGES))
def test_refusal_message(tmp_path: Path, text: str, expected: str) -> None:
    assert refusal(tmp_path, text).startswith(expected)


def test_all_errors_are_in_one_message(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, "target: {data: x, blah: 1}\nseed: -1\ndelta: x").splitlines()) == 3


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"nowhere\.yaml: cannot be read \(No such file or directory\)"):
        load(tmp_path / "nowhere.yaml")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    assert "is it the right file?" in refusal(tmp_path, "x" * 1_000_001)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("finetune.epochs", "expected KEY=VALUE"),
        ("target.data.deep=1", "'data' is 'flowers', which has no keys"),
        ("strategies.7=full", "'7' is not an index of a list of 1; indices start at 0"),
        ("seed={", "the value '{' is not YAML; quote it"),
    ],
)
def test_invalid_override_message(tmp_path: Path, override: str, expected: str) -> None:
    assert expected in refusal(tmp_path, "target: {data: flowers}\nstrategies: [full]", override)


def test_overrides() -> None:
    config = load(
        None,
        [
            "finetune.epochs=3",
            "source={init: random}",
            "source.data=a.zip",
            "strategies=[feature]",
            "strategies.0={partial: {freeze: 2}}",
        ],
        LEAST,
    )
    assert config.finetune.epochs == 3
    assert config.source[0].data == "a.zip"
    assert config.strategies == [StrategyChoice(name="partial", freeze=2)]


def test_one_source_is_equivalent_to_a_list_of_one() -> None:
    base = {**LEAST, "source": {"init": "random"}}
    assert load(None, ["source.0.data=a"], base) == load(None, ["source.data=a"], base)
    assert check({**LEAST, "strategies": "full"}, "x") == check({**LEAST, "strategies": ["full"]}, "x")


def test_short_and_long_forms_of_strategies_are_equal() -> None:
    assert check({**LEAST, "strategies": ["feature", {"partial": {"freeze": 1}}]}, "x") == check(
        {**LEAST, "strategies": [{"name": "feature"}, {"name": "partial", "freeze": 1}]}, "x"
    )
    assert check({**LEAST, "strategies": ["feature"]}, "x").strategies == [StrategyChoice(name="feature")]


def test_local_paths_become_absolute() -> None:
    config = absolute(
        check(
            {
                "source": [{"init": "w.pth", "data": "gs://b/s"}, {"init": "DEFAULT"}],
                "target": {"data": "builtin:digits/clean"},
            },
            "x",
        )
    )
    assert config.source[0].init == str(Path.cwd() / "w.pth")
    assert (config.source[0].data, config.source[1].init) == ("gs://b/s", "DEFAULT")
    assert config.target.data == "builtin:digits/clean"


@pytest.mark.parametrize(
    ("uri", "expected"), [("states", str(Path.cwd() / "states")), ("gs://b/s", "gs://b/s"), ("none", "none")]
)
def test_a_local_checkpoint_uri_becomes_absolute(uri: str, expected: str) -> None:
    assert absolute(check({**LEAST, "checkpoint_uri": uri}, "x")).checkpoint_uri == expected


def test_a_config_is_equal_after_writing_and_reading(tmp_path: Path) -> None:
    config = check({**LEAST, "strategies": ["zero", {"partial": {"carry": "features.3"}}], "seed": 7}, "x")
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load(path) == config


@given(st.text(max_size=80))
def test_any_text_is_a_config_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(RefusedError):
        assert isinstance(load(path, base=LEAST), Config)


def test_a_number_as_budget_means_examples_seen_and_auto_has_a_default_budget(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("target: {data: x}\nstrategies: auto")
    config = load(path)
    assert config.races
    assert jobs_of(config, {}).plan.budget == Budget()
    assert load(path, ["budget=5000"]).budget == Budget(examples_seen=5000)
    assert load(path, ["budget.minutes=2.5"]).budget == Budget(minutes=2.5)
    listed = load(path, ["strategies=[full]"])
    assert not listed.races
    assert jobs_of(listed, {}).plan.budget is None
    assert Config.model_validate(yaml.safe_load(to_yaml(config))) == config
