"""Runs the real DAG with stub steps."""

from pathlib import Path
from typing import Any

import pytest

from graftline.config import Config
from graftline.pipelines.local import runners
from graftline.pipelines.local.run import RunResult, run_local

STUB_STEPS = Path(__file__).parent / "stub_steps"


def config_of(folder: Path, *, sources: tuple[str, ...] = ("one",), **more: Any) -> Config:
    """A small config with data files in `folder`, which are created if missing."""
    folder.mkdir(exist_ok=True)
    for name in ("target", *sources):
        if not (folder / name).exists():
            (folder / name).write_text(f"{name} data")
    return Config.model_validate(
        {
            "target": {"data": str(folder / "target")},
            "source": [{"data": str(folder / name)} for name in sources],
            "strategies": ["full"],
            "confirm_seeds": 2,
        }
        | more
    )


class StubRuns:
    """Runs the real DAG and components with stub steps and its own cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = 0

    def config(self, **more: Any) -> Config:
        return config_of(self.folder, **more)

    def run(self, config: Config, fail: str = "", *, real: str = "") -> RunResult:
        self.runs += 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runners, "library_digest", lambda: "the tests' own")  # sources may be edited meanwhile
            patch.setenv("PYTHONPATH", str(STUB_STEPS))
            patch.setenv("GRAFTLINE_CACHE", str(self.folder / "cache"))
            patch.setenv("STUB_FAIL", fail)
            patch.setenv("STUB_REAL", real)
            return run_local("transfer", config, out=self.folder / f"run{self.runs}")
