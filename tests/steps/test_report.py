"""The report step: a page and a summary that agree with what it returns; no torch on the way."""

import json
import subprocess
import sys
from pathlib import Path

from graftline.config.jobs import ReportJob
from graftline.steps.report import report
from tests.builders.artifacts import write_run

PARTS = ("dataset", "sources", "selection", "chosen", "control", "evaluation", "onnx", "gate")


def test_report_writes_page_and_summary(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    found = report(ReportJob(config=run.config), **run.paths(*PARTS), out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == found
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert len(page) < 1_000_000
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "summary.json"]


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for out in ("a", "b"):
        report(ReportJob(config=run.config), **run.paths(*PARTS), out=tmp_path / out)
    assert (tmp_path / "a" / "report.html").read_text() == (tmp_path / "b" / "report.html").read_text()


def test_delivery_needs_no_torch() -> None:
    """Neither reading, serving nor reporting pays torch's seconds."""
    modules = ("steps.report", "steps.release", "steps.gate", "release.serving.predict", "release.artifact")
    code = f"import sys, {', '.join(f'graftline.{m}' for m in modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
