import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import graftline
from graftline.cli.app import app, main
from graftline.cli.steps import steps

GRAFTLINE = Path(sys.executable).with_name("graftline")


def cli(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    monkeypatch.setattr(sys, "argv", ["graftline", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_version() -> None:
    assert cli("--version").strip() == f"graftline {graftline.__version__}"


def test_each_command_has_a_help() -> None:
    for command in [*app.registered_commands, *steps.registered_commands]:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert "Usage" in cli(name, "--help")


def test_list_profiles_prints_one_name_per_line() -> None:
    assert cli("compile", "--list-profiles").split()[:2] == ["none", "gpu"]


def test_compile_writes_pipelines_and_components(tmp_path: Path) -> None:
    names = {path.name for path in map(Path, cli("compile", "--out", tmp_path).split())}
    assert {"transfer.yaml", "finetune.yaml", "export-onnx.yaml"} <= names


def test_a_dry_run_prints_the_plan_and_runs_nothing(tmp_path: Path) -> None:
    said = cli("run", "transfer", "--dry-run", "--out", tmp_path / "run")
    assert "candidates: clean-zero, clean-feature, clean-staged, clean-full and the control" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tranfer"], "pipeline 'tranfer' is not one of transfer"),
        (["run", "transfer", "--runner", "podman"], "runner 'podman' is not one of subprocess, docker"),
        (["run", "transfer", "--set", "finetune.epoch=1"], "finetune.epoch: unknown key; did you mean 'epochs'?"),
        (["run", "transfer", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["compile", "--profile", "tpu"], "profile 'tpu' is not one of none, gpu,"),
        (["verify", "nowhere"], "nowhere"),
        (["predict", "nowhere", "x.png"], "x.png: no such file or folder"),
    ],
)
def test_refusals_exit_with_status_2_and_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    error = refused(monkeypatch, capsys, *arguments)
    assert message in error
    assert error.startswith("graftline: ")
    assert len(error.splitlines()) == 1


def test_a_refused_config_writes_run_json_and_keeps_earlier_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "run"
    (earlier / "logs").mkdir(parents=True)
    for name in ("logs/kfp.log", "report.html", "run.json"):
        (earlier / name).write_text("earlier")
    refused(monkeypatch, capsys, "run", "transfer", "--set", "bogus=1", "--out", earlier)
    run = json.loads((earlier / "run.json").read_text())
    assert (run["status"], run["error"]["kind"]) == ("refused", "refused")
    assert "bogus: unknown key" in run["error"]["message"]
    assert (earlier / "report.html").read_text() == "earlier"


def test_formats_and_backbones_are_listed() -> None:
    assert [line.split()[0] for line in cli("formats").splitlines()][-1] == "unlabeled"
    assert {"cnn", "vgg16", "mobilenet_v2"} <= set(cli("backbones").split())


def test_a_step_does_not_overwrite_an_artifact(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("kept")
    error = refused(monkeypatch, capsys, "preprocess", "--data", "builtin:digits/clean", "--out", tmp_path)
    assert "not empty; give a new folder, or remove it first" in error
    assert (tmp_path / "mine").read_text() == "kept"


def test_an_out_that_cannot_be_created_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("kept")
    for out, says in (
        (tmp_path / "file", "is a file; give a new folder"),
        (tmp_path / "file/x", "cannot be created (Not a directory); give another folder"),
    ):
        assert says in refused(monkeypatch, capsys, "preprocess", "--data", "builtin:digits/clean", "--out", out)
    assert "is inside --data" in refused(
        monkeypatch, capsys, "preprocess", "--data", tmp_path, "--out", tmp_path / "out"
    )


def test_bad_data_is_refused_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "one" / "cats").mkdir(parents=True)
    done = subprocess.run(
        [GRAFTLINE, "preprocess", "--data", tmp_path / "one", "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_step_without_kfp(tmp_path: Path) -> None:
    t, s, c, f, k, p, e, o, g, r, w = (tmp_path / name for name in "tscfkpeogrw")
    cli("preprocess", "--data", "builtin:digits/scanned", "--out", t)
    cli("preprocess", "--data", "builtin:digits/clean", "--target", t, "--out", s)
    cli("pretrain", "--data", s, "--backbone", "cnn", "--out", c, "--set", "pretrain.epochs=5")
    cli("finetune", "--data", t, "--source", c, "--strategy", "feature", "--out", f)
    cli("finetune", "--data", t, "--source", c, "--strategy", "control", "--out", k)
    assert "c-feature-seed2" in cli("select", "--candidate", f, "--candidate", k, "--out", p)
    assert "over 1 seed" in cli(
        "evaluate", "--data", t, "--chosen", p / "chosen", "--control", p / "control", "--source", c, "--out", e
    )
    cli("export-onnx", "--data", t, "--checkpoint", p / "chosen", "--evaluation", e, "--out", o)
    assert "\npromote\n" in cli("gate", "--data", t, "--evaluation", e, "--onnx", o, "--out", g)
    cli("release", "--data", t, "--checkpoint", p / "chosen", "--evaluation", e, "--onnx", o, "--gate", g, "--out", r)
    cli("report", "--data", t, "--source", c, "--selected", p, "--evaluation", e, "--onnx", o, "--gate", g, "--out", w)
    assert json.loads((w / "summary.json").read_text())["selected"]["strategy"] == "feature"
    assert "ok  outputs" in cli("verify", r)
    Image.new("L", (30, 40), 200).save(tmp_path / "x.png")
    answer = json.loads(cli("predict", r / "model.onnx", tmp_path / "x.png", "--json"))
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
