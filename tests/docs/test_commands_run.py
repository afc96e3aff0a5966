"""The fast commands of the README and the quick start run; the guide by hand runs from raw data to a report."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.pages import ROOT, blocks, commands

PROGRAM = [sys.executable, "-c", "from graftline.cli.app import main; main()"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the files that the commands read: flowers/, flowers.yaml, photos.csv."""
    draw = np.random.default_rng(0)
    lines = ["path,label"]
    for label in ("daisy", "rose"):
        for number in range(20):
            path = tmp_path / "flowers" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
            lines.append(f"flowers/{label}/{number}.png,{label}")
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    config = next(block for block in blocks("yaml", [ROOT / "README.md"]) if "flowers" in block.text)
    (tmp_path / "flowers.yaml").write_text(config.text)
    return tmp_path


def run(arguments: list[str], folder: Path, *, status: int = 0) -> str:
    """Runs `graftline` with arguments in a folder and returns its output."""
    environment = os.environ | {"GRAFTLINE_CACHE": str(folder / "cache")}
    done = subprocess.run([*PROGRAM, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == status, f"{shlex.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def test_a_dry_run_prints_the_plan(folder: Path) -> None:
    lines = commands("graftline", [ROOT / "docs" / "quickstart.md"])
    arguments = next(arguments for _, arguments in lines if "--dry-run" in arguments)
    assert "and the control" in run(arguments, folder)


def test_preprocess_of_a_table_writes_a_dataset_and_its_page(folder: Path) -> None:
    lines = commands("graftline", [ROOT / "docs" / "guides" / "own-data.md"])
    run(next(arguments for _, arguments in lines if arguments[0] == "preprocess"), folder)
    assert (folder / "photos" / "page.html").is_file()
    assert (folder / "photos" / "manifest.json").is_file()


def test_compile_lists_the_profiles_and_writes_the_pipeline(folder: Path) -> None:
    lines = commands("graftline", [ROOT / "README.md"])
    listing, compiling = [arguments for _, arguments in lines if arguments[0] == "compile"]
    assert compiling[compiling.index("--profile") + 1] in run(listing, folder).split()
    run(compiling, folder)
    assert (folder / "compiled" / "transfer.yaml").is_file()
    assert (folder / "compiled" / "transfer-tournament.yaml").is_file()


@pytest.mark.slow
def test_the_steps_by_hand_end_with_a_report(folder: Path) -> None:
    lines = commands("graftline", [ROOT / "docs" / "guides" / "by-hand.md"])
    steps = [arguments for _, arguments in lines if arguments[0] not in ("gate", "report", "release", "verify")]
    fast = {"pretrain": "pretrain.epochs=5", "finetune": "finetune.epochs=5"}
    for arguments in steps:
        setting = fast.get(arguments[0])
        run([*arguments, *(["--set", setting] if setting else [])], folder)
    gate, report, release, verify = (arguments for _, arguments in lines if arguments not in steps)
    run([*gate, "--set", "gate.min_accuracy=0.2"], folder)
    for arguments in (report, release, verify):
        run(arguments, folder)
    assert (folder / "by-hand" / "report" / "report.html").is_file()
