"""Seconds of an idle step through graftline's components, cache and progress display, and through bare kfp.local.

    .venv/bin/python benchmarks/overhead.py [--rounds 5] [--json FILE]

Lower is better; the goal is that ours is less than half a second above its peer. Rounds are interleaved: a DAG of idle
steps through graftline, the same through bare kfp.local, and a step's imports alone in a new Python process.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from kfp import dsl, local
from kfp.dsl import Artifact, Output
from kfp.local.config import LocalExecutionConfig
from results import Row, result_row, show
from rich.console import Console

from graftline.components.decorator import component
from graftline.config import Config
from graftline.pipelines import PIPELINES
from graftline.pipelines.local.run import run_local
from graftline.pipelines.placement import Placement
from graftline.pipelines.record import Variant
from graftline.pipelines.transfer import TRANSFER

STEPS = 6
GOAL = 0.5  # seconds a step
_OURS = (
    "import kfp.dsl.executor_main, kfp; from kfp import dsl; from kfp.dsl import *; "
    "import graftline.runtime.events, graftline.runtime.manifest"
)


@component
def idle(number: int, made: Output[Artifact], before: str = "") -> str:
    from pathlib import Path

    from graftline.runtime import events

    with events.step(f"idle-{number}"):
        from graftline.runtime.manifest import Manifest, identity, write

        Path(made.path).mkdir(parents=True)
        write(Path(made.path), Manifest())
        return identity(Path(made.path))


@dsl.component(base_image="python", install_kfp_package=False)
def bare(number: int, made: Output[Artifact], before: str = "") -> str:
    from pathlib import Path

    Path(made.path).mkdir(parents=True)
    return str(number)


def idling(placement: Placement, variant: Variant) -> dsl.graph_component.GraphComponent:
    """Returns a chain of idle steps."""

    @dsl.pipeline(name="idling")
    def pipeline(config: str) -> None:
        before = ""
        for number in range(STEPS):
            task = placement.any_node(idle(number=number, before=before), f"idle {number}")
            before = task.outputs["Output"]

    return pipeline


@dsl.pipeline(name="bare")
def bare_chain() -> None:
    before = ""
    for number in range(STEPS):
        before = bare(number=number, before=before).outputs["Output"]


def ours(folder: Path) -> None:
    os.environ["GRAFTLINE_CACHE"] = str(folder / "cache")
    config = Config.model_validate({"target": {"data": "builtin:digits/scanned"}})
    result = run_local("idling", config, out=folder / "out", console=Console(file=io.StringIO()))
    assert len(result.run["steps"]) == STEPS, result.message


def peer(folder: Path) -> None:
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "root"))
        bare_chain()
        LocalExecutionConfig.instance = None


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def importing(code: str) -> float:
    environment = os.environ | {"_KFP_RUNTIME": "true"}
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environment))


def measure(rounds: int) -> list[Row]:
    PIPELINES["idling"] = replace(
        TRANSFER, name="idling", build=idling, expected_steps=lambda config: [], phases=lambda variant: []
    )
    times: dict[str, list[float]] = {"ours": [], "bare": [], "imports": []}
    for _ in range(rounds):
        for side, run in (("ours", ours), ("bare", peer)):
            with tempfile.TemporaryDirectory() as folder:
                times[side].append(seconds(lambda run=run, folder=folder: run(Path(folder))) / STEPS)
        times["imports"] += [importing(_OURS) for _ in range(2)]
    median = {name: statistics.median(values) for name, values in times.items()}
    return [
        compared("an idle step (lower is better); peer: its imports alone", median["ours"], median["imports"], rounds),
        compared("an idle step (lower is better); peer: bare kfp.local's", median["ours"], median["bare"], rounds),
    ]


def compared(what: str, mine: float, peer: float, rounds: int) -> Row:
    """Returns a row whose goal is the difference between the sides."""
    return result_row(what, mine, peer, unit="s", rounds=rounds, ratio=mine / peer, goal=GOAL, met=mine - peer < GOAL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.rounds)
    show(rows, f"goal: ours less than {GOAL} s above its peer; {os.cpu_count()} cores", options.json)


if __name__ == "__main__":
    main()
