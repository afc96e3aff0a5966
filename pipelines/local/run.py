"""Runs a DAG on this machine with kfp.local: the run's folder, its logs, live progress and run.json."""

import json
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import local
from kfp.dsl import Artifact
from kfp.local.config import LocalExecutionConfig
from rich.console import Console

from graftline.config import Config
from graftline.pipelines import PIPELINES
from graftline.pipelines.local import run_folder
from graftline.pipelines.local.cache import ContentCache, using
from graftline.pipelines.local.display import ProgressDisplay
from graftline.pipelines.local.environment import output_to, run_dir_variable, sigterm_as_interrupt
from graftline.pipelines.local.forecast import Forecast
from graftline.pipelines.local.monitor import CacheEvent, RunMonitor, StepState
from graftline.pipelines.local.runners import Runner, RunnerName, make_runner
from graftline.pipelines.local.summary import summary_lines
from graftline.pipelines.placement import Placement
from graftline.pipelines.record import Pipeline
from graftline.runtime import events
from graftline.runtime.cache_location import cache_home, keeping_states
from graftline.runtime.manifest import canonical_json

_POLL = 0.1  # seconds between two reads of the events
_EXIT = {"succeeded": 0, "skipped": 0, "failed": 1, "refused": 2}


@dataclass(frozen=True)
class RunResult:
    """How a local run ended."""

    status: str
    """succeeded, failed, refused or skipped."""
    exit_code: int
    """0, 1 if a step failed, 2 if the config or the data was refused."""
    message: str
    """One sentence, already printed; empty if the run succeeded."""
    run: dict[str, Any]
    """Contents of `run.json`."""
    out: Path


class _StoppedError(Exception):
    """Raised in kfp's threads to prevent further steps from starting."""


def run_local(
    pipeline: str,
    config: Config,
    *,
    out: Path,
    runner: RunnerName = "subprocess",
    image: str | None = None,
    console: Console | None = None,
) -> RunResult:
    """Runs a pipeline and shows live progress.

    Completed steps are cached under `$GRAFTLINE_CACHE` (by default `~/.cache/graftline`), so a rerun repeats only the
    steps that are missing. After a failure no further step starts; the running ones complete.

    Args:
        pipeline: A key of `PIPELINES`.
        config: The run's config with absolute local paths.
        out: Folder for run.json, report.html, release/ and logs/; those of an earlier run are replaced.
        runner: `subprocess`, or `docker` for the container images.
        image: Container image for `docker`.
        console: Where to show progress; by default stdout.

    Returns:
        How the run ended.

    Raises:
        RefusedError: An unknown pipeline or runner, no docker, or an `out` that has files of other programs.
    """
    began = time.time()
    out = out.absolute()
    console = console or Console()
    console.file = console.file  # keeps today's stdout: kfp.local's is redirected during the run
    starter = make_runner(runner, config, out=out, image=image)
    record = PIPELINES[pipeline]
    monitor = RunMonitor(run_folder.prepare(out), [step.name for step in record.expected_steps(config)])
    thread = _PipelineThread(record, config, starter, out, monitor)
    _follow(thread, monitor, starter, console)
    failed = thread.failed_step()
    status = "succeeded" if failed is None else "refused" if failed.kind == "refused" else "failed"
    run = run_folder.write_run(
        out, pipeline=record, config=config, status=status, seconds=time.time() - began, monitor=monitor, failed=failed
    )
    message = "" if failed is None else _failure_message(failed, out)
    for line in [message] if failed else summary_lines(run, out):
        console.print(line, style="bold red" if failed else None, highlight=False, markup=False, soft_wrap=True)
    return RunResult(status, _EXIT[status], message, run, out)


class _PipelineThread(threading.Thread):
    """Runs kfp.local in its own thread, so that the main thread can show progress and be interrupted."""

    def __init__(self, pipeline: Pipeline, config: Config, runner: Runner, out: Path, monitor: RunMonitor) -> None:
        super().__init__(name="kfp.local", daemon=True)
        variant = pipeline.variant_for(config)
        self.stopped, self.over = threading.Event(), threading.Event()
        self.workload = pipeline.workload(config)
        self._error: Exception | None = None
        self._pipeline, self._runner, self._out, self._monitor = pipeline, runner, out, monitor
        self._dag = pipeline.build(Placement(runner.image), variant)
        self._phases = {phase.listed_by: phase.name for phase in pipeline.phases(variant)}
        self._config = canonical_json(config.model_dump(mode="json"))
        self._cache = ContentCache(
            cache_home() / "entries", salt=runner.salt, on_event=self._on_event, before_step=self._before_step
        )

    def run(self) -> None:
        """Runs the DAG; keeps an error for `failed_step`."""
        log = self._out / "logs" / "kfp.log"
        try:
            with output_to(log), run_dir_variable(self._out), keeping_states(), using(self._cache):
                try:
                    local.init(
                        self._runner.kfp,
                        pipeline_root=str(cache_home() / "artifacts"),
                        enable_caching=True,
                        cache_root=str(cache_home() / "entries"),
                    )
                    self._dag(config=self._config)
                except Exception:
                    traceback.print_exc(file=sys.stdout)
                    raise
                finally:
                    LocalExecutionConfig.instance = None
        except Exception as error:
            self._error = error
        finally:
            self.over.set()

    def failed_step(self) -> StepState | None:
        """Returns the step that ended the run, None if the run succeeded."""
        for step in self._monitor.in_state("running"):
            if self.stopped.is_set():
                self._monitor.fail(step.name, "preempted", "interrupted")
            elif step.pid:
                message = "the process exited without reporting an error (killed, or out of memory)"
                self._monitor.fail(step.name, "preempted", message)
            else:
                self._monitor.fail(step.name, "bug", "the process exited before the step started")
        if steps := self._monitor.in_state("failed"):
            return next((s for s in steps if s.kind != "preempted"), steps[0])
        if self.stopped.is_set():
            return StepState("run", "failed", kind="preempted", error="interrupted")
        if error := self._cache.bug or self._error:
            return StepState("run", "failed", kind="bug", error=f"{type(error).__name__}: {error}")
        if not self._cache.n_lookups:
            raise RuntimeError("kfp.local did not use graftline's cache; this version of kfp is not supported")
        return None

    def _before_step(self) -> None:
        if self.stopped.is_set() or any((self._out / "logs").glob("*.error.json")):
            raise _StoppedError("a step failed or the run was interrupted, so no further step starts")

    def _on_event(self, name: str, event: CacheEvent, outputs: Mapping[str, Any]) -> None:
        self.workload.update(name, outputs)
        phase = self._phases.get(name)
        listed = [f"{phase}-{json.loads(job)['name']}" for job in outputs.get("Output", [])] if phase else []
        artifacts = {key: Path(value.uri) for key, value in outputs.items() if isinstance(value, Artifact)}
        if name in self._pipeline.dataset_steps and artifacts:
            run_folder.copy_data_page(self._out, artifacts["dataset"])
        self._monitor.record(name, event, listed, artifacts)


def _follow(thread: _PipelineThread, monitor: RunMonitor, runner: Runner, console: Console) -> None:
    """Shows progress until the run is over; Ctrl-C or SIGTERM stops the steps, a second one stops waiting for them."""
    with ProgressDisplay(console, monitor, Forecast(thread.workload)) as display, sigterm_as_interrupt():
        thread.start()
        while not thread.over.is_set():
            try:
                monitor.poll()
                display.draw()
                if thread.stopped.is_set():
                    runner.stop(monitor)
                thread.over.wait(_POLL)  # not join: after an interrupt, Python 3.11 considers the thread ended
            except KeyboardInterrupt:
                if thread.stopped.is_set():
                    runner.kill()
                    raise
                thread.stopped.set()
        monitor.poll()


def _failure_message(failed: StepState, out: Path) -> str:
    first = failed.error.strip().splitlines()[0]
    match failed.kind:
        case "refused":
            return f"refused: {first}"
        case "preempted":
            return f"{failed.name} stopped: {first}. Rerun the same command to resume."
    log = out / "logs" / (f"{events.file_name(failed.name)}.log" if failed.pid else "kfp.log")
    return f"{failed.name} failed: {first} (full log: {log})"
