"""A training that was killed, at any point, ends with the weights of the one that was not."""

import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from graftline.config import Control, Head, StrategyOptions, Training
from graftline.config.jobs import FinetuneJob
from graftline.models import checkpoint
from graftline.runtime.cache_location import CHECKPOINTS
from graftline.runtime.errors import RefusedError
from graftline.steps.finetune import finetune
from graftline.strategies import STRATEGIES
from graftline.strategies.staged import Staged
from graftline.training.interface import StrategyInput, StrategyResult
from graftline.training.progress import Progress
from graftline.training.resume.journal import Journal, JournalEntry
from graftline.training.resume.resume import SAVE_INTERVAL_VARIABLE, open_journal
from graftline.training.resume.saves import TrainingState
from tests.builders.training import artifact, start, task
from tests.strategies.test_contract import source_for

TRAINING = Training(epochs=3, augment="shift", batch_size=8, ema=0.9, patience=2)
KILLS = 20
FRESH = multiprocessing.get_context("forkserver")
"""Forks of a process that has imported torch and no more: autograd refuses to run in a fork of one that trained."""


class KilledError(Exception):
    """What stands for a kill where a real one would take too long."""


class CrashingStore:
    """Saves in memory, every state apart from what trains on; its holder dies after so many."""

    def __init__(self, lives: int | None = None) -> None:
        self.lives, self.states = lives, list[TrainingState]()

    def newest(self) -> TrainingState | None:
        return self.states[-1] if self.states else None

    def write(self, saved: TrainingState) -> None:
        self.states.append(
            TrainingState(dict(saved.values), {key: value.clone() for key, value in saved.tensors.items()})
        )
        if self.lives is not None and len(self.states) >= self.lives:
            raise KilledError

    def close(self) -> None:
        """Nothing to give back."""


def train(name: str, given: StrategyInput, saves: CrashingStore) -> StrategyResult:
    return STRATEGIES[name].train(replace(given, journal=Journal(saves, save_interval=0.0)))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_resumes_to_the_same_weights_from_any_state(name: str) -> None:
    given = task(name, source_for(name), classes=["red", "two", "blue"], training=TRAINING)
    whole = CrashingStore()
    unbroken = train(name, given, whole)
    plain = STRATEGIES[name].train(given)
    for lives in sorted(random.Random(0).sample(range(1, len(whole.states) + 1), min(6, len(whole.states)))):
        saves = CrashingStore(lives)
        with pytest.raises(KilledError):
            train(name, given, saves)
        saves.lives = None
        again = train(name, given, saves)
        assert same(again, unbroken), f"killed after state {lives} of {len(whole.states)}"
        assert again.examples_seen == unbroken.examples_seen
        assert [p.model_copy(update={"seconds": 0}) for p in again.history] == [
            p.model_copy(update={"seconds": 0}) for p in unbroken.history
        ]
    assert same(plain, unbroken), "keeping states changed the training"


@pytest.mark.parametrize("name", ["full", "staged"])
def test_a_resumed_training_counts_earlier_progress_as_done(name: str) -> None:
    given, whole = task(name, source_for(name), classes=["red", "two", "blue"], training=TRAINING), CrashingStore()
    unbroken = replace(given, progress=Progress(1))
    train(name, unbroken, whole)
    saves, again = CrashingStore(len(whole.states) * 2 // 3), replace(given, progress=Progress(1))
    with pytest.raises(KilledError):
        train(name, given, saves)
    saves.lives = None
    train(name, again, saves)
    features = len(given.train) + len(given.val) if name == "staged" else 0  # the head is kept, so they need no pass
    assert unbroken.progress.done - again.progress.done == features


def test_ctrl_c_followed_by_sigterm_saves_one_state() -> None:
    def told(*signals: signal.Signals) -> None:
        with (kept := Journal(saves, save_interval=1e9)).deferred_signals():
            for each in signals:
                os.kill(os.getpid(), each)
            kept.save_if_due("part", lambda: JournalEntry({"step": 1}))

    saves = CrashingStore()
    with pytest.raises(SystemExit, match="130"):
        told(signal.SIGINT, signal.SIGTERM)  # from the terminal, and from the run
    assert [list(state.values) for state in saves.states] == [["part"]]
    with pytest.raises(SystemExit, match="130"):
        told(signal.SIGINT, signal.SIGINT)
    assert len(saves.states) == 1, "the second one ends it at once"


def same(one: StrategyResult, other: StrategyResult) -> bool:
    theirs = other.network.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in one.network.state_dict().items())


def test_cross_validation_does_not_train_a_fold_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = made(tmp_path)
    job = candidate(Staged(stages=2)).model_copy(update={"cross_validate": True})
    first = run(folders, job, tmp_path / "whole")
    monkeypatch.setenv(SAVE_INTERVAL_VARIABLE, "0")
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "states"))
    killed(folders, job, tmp_path / "out", signal.SIGKILL, 0.5)
    assert run(folders, job, tmp_path / "again").row.val_score == first.row.val_score


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_staged_killed_at_random_moments_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: signal.Signals
) -> None:
    folders, job = made(tmp_path), candidate(Staged(stages=3))
    began = time.monotonic()
    unbroken = run(folders, job, tmp_path / "unbroken").digest
    took = time.monotonic() - began
    monkeypatch.setenv(SAVE_INTERVAL_VARIABLE, "0.01")
    draw, deaths = random.Random(by), 0
    for turn in count():
        monkeypatch.setenv(CHECKPOINTS, str(tmp_path / f"states-{turn}"))
        if killed(folders, job, tmp_path / f"killed-{turn}", by, draw.uniform(0, took)):
            deaths += 1
        else:
            took *= 0.8  # it was quicker than the one that was measured
        assert run(folders, job, tmp_path / f"out-{turn}").digest == unbroken
        if deaths == KILLS // 2:
            break


def test_a_state_of_another_config_or_other_data_cannot_be_resumed(tmp_path: Path) -> None:
    told = {"job": {"seed": 0, "training": {"epochs": 3}}, "data": "sha256:a"}
    with open_journal(told, str(tmp_path), rung=1) as kept:
        kept.save()
    (folder,) = (path for path in tmp_path.glob("*-1/step-*"))
    other = {"job": {"seed": 1, "training": {"epochs": 3}}, "data": "sha256:b"}
    message = r'another training.*data was "sha256:a", is "sha256:b"; job.seed was 0, is 1'
    with pytest.raises(RefusedError, match=message), open_journal(other, "none", initial=folder):
        pass


def made(folder: Path) -> Path:
    source = start("cnn", head=Head(hidden=[16], dropout=0.2))
    checkpoint.write(folder / "sources" / "source", source.manifest, source.network)
    artifact(folder / "data", train=24, val=8, classes=["red", "green", "blue"])
    return folder


def candidate(strategy: StrategyOptions | None) -> FinetuneJob:
    return FinetuneJob(
        name="one",
        source="source",
        strategy=strategy,
        head=Head(hidden=[16], dropout=0.2),
        training=TRAINING.model_copy(update={"epochs": 12, "patience": 4}),
        control=Control(patience=2),
        longest=18 * 4,
        cross_validate=False,
        seed=0,
    )


def run(folders: Path, job: FinetuneJob, out: Path) -> Any:
    return finetune(job, sources=folders / "sources", dataset=folders / "data", out=out)


def killed(folders: Path, job: FinetuneJob, out: Path, by: signal.Signals, after: float) -> bool:
    """Runs a step in a process of its own and sends it a signal; returns whether that ended it before its end."""
    FRESH.set_forkserver_preload([__name__])
    child = FRESH.Process(target=_run, args=(dict(os.environ), folders, job, out))
    child.start()
    time.sleep(after)
    with suppress(ProcessLookupError):  # it may have ended
        os.kill(child.pid or 0, by)
    child.join()
    assert child.exitcode in (0, -by, 128 + by), "its traceback is on stderr"
    return child.exitcode != 0


def _run(environment: dict[str, str], folders: Path, job: FinetuneJob, out: Path) -> None:
    os.environ.update(environment)
    run(folders, job, out)
