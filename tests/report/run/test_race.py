"""The tournament's section: every candidate once, the survivors first, no label over another."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from graftline.report.run import artifacts as runs
from graftline.report.run import candidates, page, race
from graftline.report.run.artifacts import Run
from graftline.report.run.summary import summary
from graftline.selection.tournament.race import RungResult
from tests.builders.artifacts import HOSTILE, write_run

PARTS = ("dataset", "sources", "selection", "chosen", "control", "evaluation", "onnx", "gate")
ENDS = [80, 320, 1040]


def stands(chosen: str, others: list[str]) -> list[RungResult]:
    """One chosen, one finalist close behind, one that was through, the others left by and by."""
    found = []
    for place, name in enumerate([chosen, *others]):
        for rung in range(1, 4 if place < 2 else 3 if place < 4 else 2):
            through = place == 2
            left = "" if place < 3 else f"place {place} of 9, 2 went on" if rung == (2 if place < 4 else 1) else ""
            if through and rung > 1:
                continue
            found.append(
                RungResult(
                    name=name,
                    rung=rung,
                    score=0.5 + 0.1 * rung - 0.002 * place,
                    error=0.02,
                    examples_seen=ENDS[rung - 1],
                    train_seconds=1.0 * rung,
                    status="ok",
                    over=rung == 3 or through,
                    left=left,
                )
            )
    found.append(
        RungResult(
            name="went-wrong",
            rung=1,
            score=None,
            error=None,
            examples_seen=0,
            train_seconds=0.0,
            status="diverged",
            over=False,
            left="diverged: loss nan",
        )
    )
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folders = write_run(tmp_path_factory.mktemp("run"))
    found = runs.read(folders.config, **folders.paths(*PARTS))
    chosen = found.selection.chosen
    others = [f"clean-{kind}" for kind in ("zero", "feature", "l2sp", "full-lr3", "bss", "staged-lr0.33")]
    others = [name for name in others if name != chosen]
    told = {"stands": stands(chosen, others), "ends": ENDS, "budget": 4000}
    return Run(**{**vars(found), "selection": found.selection.model_copy(update=told)})


def test_a_run_without_a_tournament_has_no_such_section(run: Run) -> None:
    plain = Run(**{**vars(run), "selection": run.selection.model_copy(update={"stands": []})})
    assert race.section(plain) is None
    assert 'id="race"' not in page.render(plain)
    assert "rungs" not in summary(plain)


def test_every_candidate_stands_there_once_the_survivors_first(run: Run) -> None:
    found = race.section(run)
    assert found is not None
    names = [runner.name for runner in found.runners]
    assert len(names) == len(set(names)) == 8
    assert names[0] == run.selection.chosen
    assert [bool(runner.last.left) for runner in found.runners] == sorted(bool(r.last.left) for r in found.runners)
    assert found.runners[0].outcome == "selected"
    assert found.runners[-1].outcome == "diverged: loss nan"
    html = page.render(run)
    assert 'id="race"' in html
    assert "place 3 of 9, 2 went on" in html


def test_no_label_lies_over_another(run: Run) -> None:
    found = race.section(run)
    assert found is not None
    assert found.drawing is not None
    labels = re.findall(
        r'<text[^>]*?(?:x="[-\d.]+" y="([-\d.]+)"|translate\([-\d.]+ ([-\d.]+)\))[^>]*>(clean-[^<]*)<',
        str(found.drawing),
    )
    heights = sorted(float(one or other) for one, other, _ in labels)
    assert len(heights) == 3
    assert all(upper - lower >= 9 for lower, upper in pairwise(heights))


def test_who_left_is_not_among_the_candidates_side_by_side(run: Run) -> None:
    assert not {line.name for line in candidates.lines(run)} & {s.name for s in run.selection.stands if s.left}


def test_the_summary_says_how_far_each_came(run: Run) -> None:
    found = summary(run)
    assert [rung["examples_seen"] for rung in found["rungs"]] == ENDS
    rows = {row["name"]: row for row in found["candidates"]}
    assert rows[run.selection.chosen]["rung"] == 3
    assert "rung" not in rows["control"]


def test_hostile_names_are_escaped(run: Run) -> None:
    told = [
        stand.model_copy(update={"name": HOSTILE[0] if stand.name == "clean-bss" else stand.name})
        for stand in run.selection.stands
    ]
    hostile = Run(**{**vars(run), "selection": run.selection.model_copy(update={"stands": told})})
    assert HOSTILE[0] not in page.render(hostile)


def test_nothing_to_draw_with_one_score(tmp_path: Path, run: Run) -> None:
    alone = [stand for stand in run.selection.stands if stand.name == run.selection.chosen]
    found = race.section(Run(**{**vars(run), "selection": run.selection.model_copy(update={"stands": alone})}))
    assert found is not None
    assert found.drawing is None
