"""Runs a DAG on this machine through kfp.local: the run's folder, its logs, live progress and run.json."""

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
from graftline.config.jobs import FinetuneJob, RaceJob, decode_jobs, jobs_of
from graftline.pipelines import PIPELINES
from graftline.pipelines.local import outcome, run_folder
from graftline.pipelines.local.cache import ContentCache, serving
from graftline.pipelines.local.forecast import Forecast
from graftline.pipelines.local.live import Screen
from graftline.pipelines.local.runners import Runner, RunnerName, runner_of
from graftline.pipelines.local.surroundings import quiet, run_dir, sigterm_interrupts
from graftline.pipelines.local.watch import Event, StepState, Watch
from graftline.pipelines.placement import Placement
from graftline.runtime import events
from graftline.runtime.cache_location import cache_home, keeping_states
from graftline.runtime.manifest import canonical_json

_LOOK = 0.1  # seconds between two looks at the events
_EXIT = {"succeeded": 0, "skipped": 0, "failed": 1, "refused": 2}


@dataclass(frozen=True)
class RunResult:
    """How a local run ended."""

    status: str
    """succeeded, failed, refused or skipped."""
    exit_code: int
    """0, 1 when a step failed, 2 when the config or the data was refused."""
    message: str
    """One sentence, already printed; empty where all went well."""
    run: dict[str, Any]
    """What `run.json` holds."""
    out: Path


class _Stopped(Exception):
    """Raised in kfp's threads to keep further steps from starting."""


def run_local(
    pipeline: str,
    config: Config,
    *,
    out: Path,
    runner: RunnerName = "subprocess",
    image: str | None = None,
    console: Console | None = None,
) -> RunResult:
    """Runs a DAG to its end, showing live progress.

    Finished steps are cached under `$GRAFTLINE_CACHE` (by default `~/.cache/graftline`), so that a rerun picks up
    where a failed run stopped. A failed step keeps further steps from starting; those under way are let finish.

    Args:
        pipeline: From `PIPELINES`.
        config: The run's config, its local paths absolute.
        out: Folder for run.json, report.html, release/ and logs/; what an earlier run left there is replaced.
        runner: `subprocess`, or `docker` for the container images.
        image: Container image for `docker`.
        console: Where to show progress; by default stdout.

    Returns:
        How it ended.

    Raises:
        RefusedError: An unknown pipeline or runner, no docker, or an `out` that holds files of others.
    """
    began = time.time()
    out = out.absolute()
    console = console or Console()
    console.file = console.file  # binds today's stdout: kfp.local's is sent elsewhere meanwhile
    how = runner_of(runner, config, out=out, image=image)
    watch = Watch(run_folder.prepare(out), _expected(config))
    dag = _Dag(pipeline, config, how, out, watch)
    _follow(dag, watch, how, console)
    failed = dag.failed()
    status = "succeeded" if failed is None else "refused" if failed.kind == "refused" else "failed"
    run = run_folder.write(
        out, pipeline=pipeline, config=config, status=status, seconds=time.time() - began, watch=watch, failed=failed
    )
    message = "" if failed is None else _sentence(failed, out)
    for line in [message] if failed else outcome.lines(run, out):
        console.print(line, style="bold red" if failed else None, highlight=False, markup=False, soft_wrap=True)
    return RunResult(status, _EXIT[status], message, run, out)


class _Dag(threading.Thread):
    """kfp.local at work in a thread of its own, so that the main thread can draw and be interrupted."""

    def __init__(self, pipeline: str, config: Config, how: Runner, out: Path, watch: Watch) -> None:
        super().__init__(name="kfp.local", daemon=True)
        self.stopped, self.over = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._out, self._watch, self._how = out, watch, how
        self._build = PIPELINES[pipeline](Placement(how.image), config.shards > 1, config.races)
        self.forecast = Forecast(config.confirm_seeds)
        self._phases = {
            "plan": "rung1" if config.races else "finetune",
            "halve-1": "rung2",
            "halve-2": "rung3",
            "select": "confirm",
        }
        self._config = canonical_json(config.model_dump(mode="json"))
        self._cache = ContentCache(cache_home() / "entries", salt=how.salt, told=self._told, check=self._check)

    def run(self) -> None:
        """Runs the DAG; what goes wrong is kept for `failed`."""
        try:
            with quiet(self._out / "logs" / "kfp.log"), run_dir(self._out), keeping_states(), serving(self._cache):
                try:
                    local.init(
                        self._how.kfp,
                        pipeline_root=str(cache_home() / "artifacts"),
                        enable_caching=True,
                        cache_root=str(cache_home() / "entries"),
                    )
                    self._build(config=self._config)
                except Exception:
                    traceback.print_exc(file=sys.stdout)
                    raise
                finally:
                    LocalExecutionConfig.instance = None
        except Exception as error:
            self._error = error
        finally:
            self.over.set()

    def failed(self) -> StepState | None:
        """Returns the step that ended the run, None if it succeeded."""
        for step in self._watch.of("running"):
            if self.stopped.is_set():
                self._watch.fail(step.name, "preempted", "stopped from outside")
            elif step.pid:
                self._watch.fail(
                    step.name,
                    "preempted",
                    "its process ended without a word; the machine may have been "
                    "short of memory, or someone stopped it",
                )
            else:
                self._watch.fail(step.name, "bug", "its process ended before the step began")
        if steps := self._watch.of("failed"):
            return next((s for s in steps if s.kind != "preempted"), steps[0])
        if self.stopped.is_set():
            return StepState("run", "failed", kind="preempted", error="stopped")
        if error := self._cache.bug or self._error:
            return StepState("run", "failed", kind="bug", error=f"{type(error).__name__}: {error}")
        if not self._cache.asked:
            raise RuntimeError("kfp.local did not ask graftline's cache; this kfp is not one that graftline knows")
        return None

    def _check(self) -> None:
        if self.stopped.is_set() or any((self._out / "logs").glob("*.error.json")):
            raise _Stopped("a step failed or the run was stopped, so no further step starts")

    def _told(self, name: str, event: Event, outputs: Mapping[str, Any]) -> None:
        phase = self._phases.get(name)
        listed = outputs.get("Output", []) if phase else []
        candidates = [FinetuneJob.model_validate_json(text) for text in listed]
        if name == "plan" and listed:
            self.forecast.plan(RaceJob.model_validate_json(outputs["race"]), candidates)
        if phase and listed:
            self.forecast.listed(phase, candidates)
        names = [f"{phase}-{each.name}" for each in candidates]
        made = {key: Path(value.uri) for key, value in outputs.items() if isinstance(value, Artifact)}
        if name in run_folder.TARGET and made:
            run_folder.show_data(self._out, made["dataset"])
        self._watch.tell(name, event, names, made)


def _follow(dag: _Dag, watch: Watch, how: Runner, console: Console) -> None:
    """Draws until the DAG is through; Ctrl-C or SIGTERM stops the steps, a second Ctrl-C stops the waiting."""
    with Screen(console, watch, dag.forecast) as screen, sigterm_interrupts():
        dag.start()
        while not dag.over.is_set():
            try:
                watch.poll()
                screen.draw()
                if dag.stopped.is_set():
                    how.stop(watch)
                dag.over.wait(_LOOK)  # not join: interrupted, Python 3.11 takes the thread for ended
            except KeyboardInterrupt:
                if dag.stopped.is_set():
                    raise
                dag.stopped.set()
        watch.poll()


def _expected(config: Config) -> list[str]:
    if config.shards > 1:
        shards = [f"decode-{job.name}" for job in decode_jobs(jobs_of(config, {}), config.shards)]
        data = [*shards, "merge-target", "merge-sources", *(f"pretrain-{source.label}" for source in config.source)]
    else:
        data = [
            "preprocess-target",
            *(f"{step}-{source.label}" for source in config.source for step in ("preprocess", "pretrain")),
        ]
    cuts = ["halve-1", "halve-2"] if config.races else []
    return ["fingerprint", *data, "plan", *cuts, "select", "evaluate", "export-onnx", "gate", "release", "report"]


def _sentence(failed: StepState, out: Path) -> str:
    first = failed.error.strip().splitlines()[0]
    match failed.kind:
        case "refused":
            return f"refused: {first}"
        case "preempted":
            return f"stopped at {failed.name}: {first}. The same command goes on from there."
    log = out / "logs" / (f"{events.file_name(failed.name)}.log" if failed.pid else "kfp.log")
    return f"{failed.name} failed: {first} (all of it: {log})"
