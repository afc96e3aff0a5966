from pathlib import Path
from typing import Any

import pytest

from graftline.config import Control, Head, StrategyOptions, Training
from graftline.config.jobs import FinetuneJob, RaceJob, SelectJob
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest, EpochRecord
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError
from graftline.runtime.manifest import identity
from graftline.selection.result import Selection
from graftline.selection.tournament.race import Race
from graftline.steps.halve import halve
from graftline.steps.select import select
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.staged import Staged
from tests.builders.training import start

START = start()
KINDS: dict[str, StrategyOptions | None] = {"feature": Feature(), "staged": Staged(), "full": Full(), "control": None}


def job(name: str, kind: str, until: int | None, **more: Any) -> FinetuneJob:
    return FinetuneJob(
        name=name,
        source="source",
        strategy=KINDS[kind],
        head=Head(),
        training=Training(epochs=13),
        control=Control(),
        longest=10,
        cross_validate=False,
        seed=4,
        until=until,
        opponent="" if kind == "control" else "s-control",
        **more,
    )


def finished(
    folder: Path,
    kind: str,
    score: float | None,
    *,
    until: int | None = 10,
    error: float = 0.0,
    status: str = "ok",
    shown: int | None = None,
    seconds: float = 1.0,
    parameters: int = 5,
    given: FinetuneJob | None = None,
) -> Path:
    """A candidate's checkpoint with a made-up row, and a state where it paused."""
    made = given or job(folder.name, kind, until)
    row = CandidateResult(
        source="source",
        strategy=kind,
        status=status,
        reason="loss nan" if status != "ok" else "",
        val_score=score,
        val_score_se=error,
        examples_seen=shown if shown is not None else made.until or 130,
        train_seconds=seconds,
        trained_parameters=parameters,
        val_method="validation split",
        learning_rate=1e-3,
    )
    found = START.manifest.model_copy(
        update={
            "name": made.name,
            "strategy": kind,
            "config": made.to_json(),
            "row": row,
            "history": [EpochRecord(epoch=1, train_loss=1.0)],
        }
    )
    if made.until is not None:
        (folder / "state").mkdir(parents=True)
        (folder / "state" / "values.json").write_text(f"{folder.name} {row.examples_seen}")
    checkpoint.write(folder, found, START.network if status == "ok" else None)
    return folder


def race(*sizes: int, passes: int = 0, **more: Any) -> RaceJob:
    return RaceJob(
        sizes=list(sizes),
        ends=[1, 4, 13],
        passes=passes,
        spent=sizes[0],
        images=10,
        controls=[job("s-control", "control", None)],
        inputs="sha256:plan",
        **more,
    )


def run(
    tmp_path: Path, told: RaceJob, *folders: Path, before: Path | None = None
) -> tuple[list[FinetuneJob], Race, Path]:
    out = tmp_path / ("second" if before else "first")
    items = halve(told, candidates=list(folders), before=before, out=out)
    return items, manifest.read(out, Race), out


def four(tmp_path: Path, error: float = 0.0) -> list[Path]:
    kinds = ("full", "full", "staged", "full")
    return [
        finished(tmp_path / f"c{number}", kind, 0.5 + 0.1 * number, error=error) for number, kind in enumerate(kinds)
    ]


def test_the_better_ones_go_on_with_their_states(tmp_path: Path) -> None:
    items, found, out = run(tmp_path, race(4, 2, 1), *four(tmp_path))
    assert [(each.name, each.until) for each in items] == [("c3", 40), ("c2", 40)]
    assert (out / "c3" / "state" / "values.json").read_text() == "c3 10"
    assert not (out / "c0").exists()
    assert {stand.name: stand.left for stand in found.stands} == {
        "c0": "rank 4 of 4, 2 continued",
        "c1": "rank 3 of 4, 2 continued",
        "c2": "",
        "c3": "",
    }
    assert set(found.rows) == set(found.histories) == {"c0", "c1"}
    manifest.read(out / "c3", CheckpointManifest, verify=True)


def test_each_item_names_what_it_goes_on_from(tmp_path: Path) -> None:
    items, _, out = run(tmp_path, race(4, 2, 1), *four(tmp_path))
    assert len({each.inputs for each in items}) == 2
    before = identity(out)
    (tmp_path / "again").mkdir()
    again = [finished(tmp_path / "again" / f"c{number}", "full", 0.5 + 0.1 * number, shown=11) for number in range(4)]
    others, _, other = run(tmp_path / "again", race(4, 2, 1), *again)
    assert identity(other) != before
    assert not {each.inputs for each in others} & {each.inputs for each in items}


def test_noise_does_not_starve_the_best_of_a_strategy(tmp_path: Path) -> None:
    for budget, kept in ((4 + 3 + 9, ["d"]), (4 + 6 + 9, ["d", "a"]), (999, ["d", "a", "c"])):
        folder = tmp_path / str(budget)
        items, _, _ = run(
            folder,
            race(4, 1, 1, passes=budget),
            *(
                finished(folder / name, kind, score, error=0.1)
                for name, kind, score in (
                    ("a", "staged", 0.55),
                    ("b", "full", 0.4),
                    ("c", "full", 0.58),
                    ("d", "full", 0.6),
                )
            ),
        )
        assert [each.name for each in items] == kept


def test_a_short_schedule_that_ends_with_the_next_rung_does_not_pause_there(tmp_path: Path) -> None:
    short = job("a", "full", 10).model_copy(update={"training": Training(epochs=4)})
    items, _, _ = run(tmp_path, race(1, 1, 1), finished(tmp_path / "a", "full", 0.5, given=short))
    assert [(each.name, each.until) for each in items] == [("a", None)]


def test_equal_scores_are_told_apart_by_cost(tmp_path: Path) -> None:
    items, _, _ = run(
        tmp_path,
        race(2, 1, 1),
        finished(tmp_path / "a", "full", 0.5, parameters=9),
        finished(tmp_path / "b", "staged", 0.5, parameters=8),
    )
    assert [each.name for each in items] == ["b"]


def test_what_went_wrong_leaves_and_what_is_through_stays_without_work(tmp_path: Path) -> None:
    items, found, out = run(
        tmp_path,
        race(3, 3, 1),
        finished(tmp_path / "a", "full", None, status="diverged"),
        finished(tmp_path / "b", "full", float("nan")),
        finished(tmp_path / "c", "feature", 0.2, until=None),
        finished(tmp_path / "d", "staged", 0.6, shown=4),
        finished(tmp_path / "e", "full", 0.5),
    )
    assert [each.name for each in items] == ["e"]
    assert {stand.name: stand.left for stand in found.stands if stand.left} == {
        "a": "diverged: loss nan",
        "b": "no score on validation",
    }
    assert {path.parent.name for path in out.glob("*/manifest.json")} == {"c", "d", "e"}


def test_the_last_rung_has_finalists_whole_and_their_controls(tmp_path: Path) -> None:
    told = race(3, 2, 1, cross_validate=True)
    items, _, first = run(tmp_path, told, *four(tmp_path), finished(tmp_path / "f", "feature", 0.1, until=None))
    second = [
        finished(tmp_path / "rung2" / each.name, "full", score, given=each)
        for each, score in zip(items, (0.7, 0.9), strict=True)
    ]
    final, found, out = run(tmp_path, told, *second, before=first)
    assert [each.name for each in final] == ["c2", "f", "s-control"]
    assert (final[0].until, final[0].cross_validate, final[1].cross_validate) == (None, True, True)
    assert {each.longest for each in final} == {130 + 60 * 10 if final[0].strategy_name == "staged" else 130}
    assert final[-1].training.epochs == final[-1].longest // 10
    assert final[-1].inputs == "sha256:plan"
    assert {path.parent.name for path in out.glob("*/manifest.json")} == {"c2", "f"}
    assert [(stand.name, stand.rung) for stand in found.stands if stand.left] == [("c0", 1), ("c1", 1), ("c3", 2)]


def test_a_rung_with_nothing_to_train_has_a_stand_in(tmp_path: Path) -> None:
    told = race(0, 0, 0)
    only = finished(tmp_path / "f", "feature", 0.1, until=None)
    items, _, first = run(tmp_path, told, only)
    assert [(each.name, each.skip) for each in items] == [("rung2-skip", True)]
    skipped = finished(tmp_path / "rung2-skip", "feature", None, status="skipped", given=items[0])
    final, found, out = run(tmp_path, told, skipped, before=first)
    assert [each.name for each in final] == ["s-control"]
    assert [stand.name for stand in found.stands] == ["f"]
    assert (out / "f" / "manifest.json").is_file()


def test_without_any_model_the_race_goes_to_select_which_says_why(tmp_path: Path) -> None:
    told = race(1, 1, 1)
    items, _, first = run(tmp_path, told, finished(tmp_path / "a", "full", None, status="diverged"))
    skipped = finished(tmp_path / "rung2-skip", "full", None, status="skipped", given=items[0])
    final, _, second = run(tmp_path, told, skipped, before=first)
    assert [each.name for each in final] == ["rung3-skip"]
    last = finished(tmp_path / "rung3-skip", "full", None, status="skipped", given=final[0])
    with pytest.raises(DivergedError, match=r"no candidate trained successfully: a: diverged \(loss nan\)"):
        chosen(tmp_path, [last], second)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (None, [("b", 40), ("a", 40)]),
        (4.0, [("b", 40), ("a", 40)]),
        (1.0, [("b", 40)]),
        (0.5, [("b", 20)]),
        (0.3, [("rung2-skip", 10)]),
    ],
)
def test_minutes_cut_the_race_short(tmp_path: Path, minutes: float | None, expected: list[tuple[str, int]]) -> None:
    """A pass takes 10 s, two are done; the next rung has 3 passes, the last one 9."""
    folders = [finished(tmp_path / name, "full", score, seconds=10.0) for name, score in (("a", 0.5), ("b", 0.6))]
    items, found, out = run(tmp_path, race(2, 2, 1, minutes=minutes), *folders)
    assert [(each.name, each.until) for each in items] == expected
    assert (out / "b").is_dir()
    assert [stand.left for stand in found.stands] == (
        ["", ""] if len(expected) == 2 else ["rank 2 of 2, no time left for it", ""]
    )


def test_what_there_was_no_time_for_is_taken_as_it_is(tmp_path: Path) -> None:
    told = race(1, 1, 1, minutes=0.1)
    items, _, first = run(tmp_path, told, finished(tmp_path / "a", "full", 0.5, seconds=10.0))
    skipped = finished(tmp_path / "rung2-skip", "full", None, status="skipped", given=items[0])
    final, _, second = run(tmp_path, told, skipped, before=first)
    assert [each.name for each in final] == ["s-control"]
    found = chosen(tmp_path, [finished(tmp_path / "s-control", "control", 0.4, given=final[0])], second)
    assert found.chosen == "a"


def chosen(tmp_path: Path, folders: list[Path], before: Path) -> Selection:
    select(
        SelectJob(confirm_seeds=1),
        candidates=folders,
        chosen=tmp_path / "chosen",
        control=tmp_path / "control",
        out=tmp_path / "out",
        race=before,
    )
    return manifest.read(tmp_path / "out", Selection)


def test_select_lists_every_candidate_once_and_takes_what_was_through(tmp_path: Path) -> None:
    told = race(4, 2, 1, passes=22)
    items, _, first = run(tmp_path, told, *four(tmp_path), finished(tmp_path / "f", "feature", 0.99, until=None))
    second = [finished(tmp_path / "rung2" / each.name, each.strategy_name, 0.8, given=each) for each in items]
    final, _, out = run(tmp_path, told, *second, before=first)
    third = [finished(tmp_path / "rung3" / each.name, each.strategy_name, 0.85, given=each) for each in final]
    found = chosen(tmp_path, third, out)
    assert found.chosen == "f"
    assert sorted(found.names) == ["c0", "c1", "c2", "c3", "f", "s-control"]
    assert len(found.rows) == len(found.names)
    reached = {stand.name: stand.rung for stand in found.stands}
    assert reached == {"c0": 1, "c1": 1, "f": 1, final[0].name: 3, ({"c2", "c3"} - {final[0].name}).pop(): 2}
    assert (found.ends, found.budget) == ([10, 40, 130], 220)
