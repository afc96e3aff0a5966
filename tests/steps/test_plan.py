import os
import subprocess
import sys
from pathlib import Path

import pytest

from graftline.config import Auto, Budget, Control, Head, Small, StrategyOptions, Training
from graftline.config.jobs import FinetuneJob, PlanJob
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.loading import load_checkpoint
from graftline.runtime.errors import RefusedError
from graftline.steps.plan import plan
from graftline.strategies.distill import STUDENT_EPOCHS, Distill
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.partial import Partial
from graftline.strategies.staged import Staged
from graftline.strategies.structure import Structure
from graftline.strategies.zero import Zero
from tests.builders.training import artifact, start


def source(folder: Path, *, strategy: str = "pretrain", small: Small = Small(widths=[8, 12])) -> Path:  # noqa: B008
    made = start(small=small)
    manifest = made.manifest.model_copy(update={"name": folder.name, "strategy": strategy})
    checkpoint.write(folder, manifest, made.network)
    return folder


def job(*strategies: StrategyOptions, training: Training = Training()) -> PlanJob:  # noqa: B008
    return PlanJob(strategies=list(strategies), head=Head(), training=training, control=Control(), seed=3)


def planned(tmp_path: Path, plan_job: PlanJob, *sources: Path, val: int = 4) -> list[FinetuneJob]:
    data = artifact(tmp_path / "data", val=val)
    return plan(plan_job, sources=list(sources), dataset=data, out=tmp_path / "sources").candidates


def test_each_source_with_each_strategy_then_the_control(tmp_path: Path) -> None:
    found = planned(tmp_path, job(Feature(), Full()), source(tmp_path / "a"), source(tmp_path / "b"))
    assert [each.name for each in found] == ["a-feature", "a-full", "b-feature", "b-full", "a-control"]
    assert [each.opponent for each in found] == ["a-control"] * 4 + [""]
    assert [each.is_control for each in found] == [False] * 4 + [True]


def test_another_network_has_a_control_of_its_own(tmp_path: Path) -> None:
    found = planned(tmp_path, job(Full()), source(tmp_path / "a"), source(tmp_path / "b", small=Small(widths=[4, 4])))
    assert [(each.name, each.opponent) for each in found] == [
        ("a-full", "a-control"),
        ("b-full", "b-control"),
        ("a-control", ""),
        ("b-control", ""),
    ]


def test_a_student_has_a_control_of_its_own_network(tmp_path: Path) -> None:
    narrow, warmer, named = Distill(), Distill(temperature=4), Distill(student="mlp")
    found = planned(tmp_path, job(Full(), narrow, warmer, named), source(tmp_path / "a"), source(tmp_path / "b"))
    controls = {each.name: each.student for each in found if each.is_control}
    assert controls == {"a-control": None, "a-student-control": narrow, "a-student-control-2": named}
    opponents = ["a-control", "a-student-control", "a-student-control", "a-student-control-2"]
    assert [each.opponent for each in found if not each.is_control] == opponents * 2
    assert {each.longest for each in found} == {found[0].training.epochs * (1 + STUDENT_EPOCHS) * 18}


def test_everything_is_resolved(tmp_path: Path) -> None:
    found = {
        each.strategy_name: each
        for each in planned(tmp_path, job(Zero(), Feature(), Staged(), Full()), source(tmp_path / "a"))
    }
    epochs = {name: each.training.epochs for name, each in found.items()}
    assert epochs["full"] == epochs["staged"] == 120
    assert epochs["feature"] == 60
    longest = (60 + 120) * 18  # staged: its head, then its stages
    assert {each.longest for each in found.values()} == {longest}
    assert epochs["control"] == 180
    assert found["zero"].recipe == []
    assert found["full"].recipe[0] == "120 epochs: 18 images and a small network"
    assert all(getattr(found["full"].training, name) is not None for name in ("mixup", "ema", "patience", "balance"))
    assert {each.training.augment for each in found.values()} == {"shift"}
    assert {each.seed for each in found.values()} == {3}


def test_a_candidate_survives_json(tmp_path: Path) -> None:
    for each in planned(tmp_path, job(Partial(freeze="conv1"), Structure(width=2)), source(tmp_path / "a")):
        assert FinetuneJob.model_validate_json(each.to_json()).to_json() == each.to_json()


@pytest.mark.parametrize(
    ("val", "strategies", "expected"),
    [
        (19, [Feature(), Full()], True),
        (20, [Feature(), Full()], False),
        (0, [Feature(), Full()], True),
        (4, [Feature()], False),
    ],
)
def test_few_validation_images_and_a_choice_call_for_folds(
    tmp_path: Path, val: int, strategies: list[StrategyOptions], expected: bool
) -> None:
    found = planned(tmp_path, job(*strategies), source(tmp_path / "a"), val=val)
    assert {each.cross_validate for each in found if not each.is_control} == {expected}
    assert not found[-1].cross_validate


def test_two_of_a_kind_are_told_apart_and_odd_labels_made_plain(tmp_path: Path) -> None:
    found = planned(tmp_path, job(Partial(freeze=1), Partial(freeze=2)), source(tmp_path / "my nets, 2"))
    assert [each.name for each in found] == ["my_nets_2-partial", "my_nets_2-partial-2", "my_nets_2-control"]
    assert {each.source for each in found} == {"my nets, 2"}


def test_the_sources_are_linked_whole(tmp_path: Path) -> None:
    given = source(tmp_path / "a")
    planned(tmp_path, job(Full()), given)
    linked = tmp_path / "sources" / "a" / "weights.safetensors"
    assert linked.samefile(given / "weights.safetensors")
    load_checkpoint(tmp_path / "sources" / "a")


def test_where_links_cannot_be_made_it_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    planned(tmp_path, job(Full()), source(tmp_path / "a"))
    load_checkpoint(tmp_path / "sources" / "a")


def test_a_second_try_replaces_the_first(tmp_path: Path) -> None:
    given, data = source(tmp_path / "a"), artifact(tmp_path / "data")
    for _ in range(2):
        plan(job(Full()), sources=[given], dataset=data, out=tmp_path / "sources")


def test_random_weights_leave_structure_and_control(tmp_path: Path) -> None:
    found = planned(tmp_path, job(Zero(), Full(), Structure()), source(tmp_path / "a", strategy="random"))
    assert [each.strategy_name for each in found] == ["structure", "control"]


def test_nothing_to_transfer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError,
        match="nothing to transfer; give an init or data, or add 'structure' to the "
        r"strategies \(they are: zero, full\)",
    ):
        planned(tmp_path, job(Zero(), Full()), source(tmp_path / "a", strategy="random"))


def test_no_training_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no training images"):
        plan(
            job(Full()),
            sources=[source(tmp_path / "a")],
            dataset=artifact(tmp_path / "data", train=0),
            out=tmp_path / "sources",
        )


@pytest.mark.parametrize("label", ["../a", "a/b", ".hidden", "a\nb", ""])
def test_a_label_that_is_no_folder_name_is_refused(tmp_path: Path, label: str) -> None:
    made = start()
    checkpoint.write(tmp_path / "x", made.manifest.model_copy(update={"name": label}), made.network)
    with pytest.raises(RefusedError, match=r"source\.name: .* is not a valid folder name"):
        planned(tmp_path, job(Full()), tmp_path / "x")


def test_zero_alone_still_gets_a_control_in_earnest(tmp_path: Path) -> None:
    found = planned(tmp_path, job(Zero()), source(tmp_path / "a"))
    assert found[-1].longest == 60 * 18


def test_neither_plan_nor_select_needs_torch() -> None:
    code = "import sys, graftline.steps.plan, graftline.steps.select; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_of_sources_are_read_not_assumed(tmp_path: Path) -> None:
    made = start()
    bad = made.manifest.model_copy(update={"name": "bad", "row": CandidateResult(status="diverged", reason="loss nan")})
    checkpoint.write(tmp_path / "bad", CheckpointManifest.model_validate(bad.model_dump()), None)
    with pytest.raises(RefusedError, match=r"bad: .*diverged.*loss nan"):
        planned(tmp_path, job(Full()), tmp_path / "bad")


def test_auto_races_the_pool_in_rungs_with_its_controls_aside(tmp_path: Path) -> None:
    given = PlanJob(
        strategies=[Auto()],
        budget=Budget(examples_seen=40 * 18),
        head=Head(),
        control=Control(),
        seed=3,
        training=Training(epochs=13),
    )
    found = plan(given, sources=[source(tmp_path / "a")], dataset=artifact(tmp_path / "data"), out=tmp_path / "sources")
    names = [each.name for each in found.candidates]
    assert names[:4] == ["a-zero", "a-feature", "a-full", "a-staged"]
    assert found.race.sizes[0] == len(names) - 2
    assert [each.name for each in found.race.controls] == ["a-control"]
    assert {each.until for each in found.candidates[:2]} == {None}
    assert {each.until for each in found.candidates[2:]} == {18 * found.race.ends[0]}
    assert [each.cross_validate for each in found.candidates[:3]] == [True, True, False]
    factors = {each.name: each.training.rate_factor for each in found.candidates}
    assert (factors["a-full"], factors["a-full-lr3"]) == (1.0, 3.0)


def large(folder: Path, side: int = 96) -> Path:
    """A source that takes any size, by its manifest."""
    made = start()
    size = {"height": side, "width": side}
    manifest = made.manifest.model_copy(
        update={"name": folder.name, "backbone": "resnet18", "input": made.manifest.input.model_copy(update=size)}
    )
    checkpoint.write(folder, manifest, made.network)
    return folder


def test_another_resolution_has_a_control_of_its_own(tmp_path: Path) -> None:
    given = PlanJob(
        strategies=[Auto()], budget=Budget(), head=Head(), training=Training(epochs=13), control=Control(), seed=3
    )
    data = artifact(tmp_path / "data")
    found = plan(given, sources=[large(tmp_path / "a")], dataset=data, out=tmp_path / "sources")
    by_name = {each.name: each for each in [*found.candidates, *found.race.controls]}
    assert [each.name for each in found.race.controls] == ["a-control", "a-control-128px"]
    sides = {name: each.training.resolution for name, each in by_name.items()}
    assert {name: side for name, side in sides.items() if "full" in name or "control" in name} == {
        "a-full": 96,
        "a-full-lr3": 96,
        "a-full-lr0.33": 96,
        "a-full-large": 128,
        "a-full-short": 96,
        "a-control": 96,
        "a-control-128px": 128,
    }
    assert {each.name for each in by_name.values() if each.opponent == "a-control-128px"} == {"a-full-large"}
    assert by_name["a-full-lr3"].recipe[0] == "in the race: a distant source needs larger steps"
    assert (
        "carried rate 0.0006: for carried layers: low, so that the source's features last, times 3"
        in by_name["a-full-lr3"].recipe
    )
    assert "4 epochs: an early end" in by_name["a-full-short"].recipe
    by_hand = given.model_copy(update={"training": Training(epochs=13, resolution=64)})
    found = plan(by_hand, sources=[tmp_path / "a"], dataset=data, out=tmp_path / "again")
    assert {each.training.resolution for each in [*found.candidates, *found.race.controls]} == {64}


def test_a_list_with_a_budget_races_at_three_rates(tmp_path: Path) -> None:
    given = PlanJob(
        strategies=[Full()], budget=Budget(), head=Head(), training=Training(epochs=13), control=Control(), seed=3
    )
    found = plan(given, sources=[source(tmp_path / "a")], dataset=artifact(tmp_path / "data"), out=tmp_path / "sources")
    assert [each.name for each in found.candidates] == ["a-full", "a-full-lr3", "a-full-lr0.33"]
    assert found.race.passes == 5 * 13


def test_a_budget_that_pays_for_no_tournament_is_refused(tmp_path: Path) -> None:
    given = PlanJob(
        strategies=[Full(), Feature()],
        budget=Budget(examples_seen=20),
        head=Head(),
        training=Training(),
        control=Control(),
        seed=3,
    )
    with pytest.raises(RefusedError, match=r"budget: 20 presentations are too few .* 4 candidates .* at least 72, or"):
        plan(given, sources=[source(tmp_path / "a")], dataset=artifact(tmp_path / "data"), out=tmp_path / "sources")


def test_a_race_needs_validation_images(tmp_path: Path) -> None:
    given = PlanJob(strategies=[Full()], budget=Budget(), head=Head(), training=Training(), control=Control(), seed=3)
    with pytest.raises(RefusedError, match="budget: tiny has no validation images"):
        plan(
            given,
            sources=[source(tmp_path / "a")],
            dataset=artifact(tmp_path / "data", val=0),
            out=tmp_path / "sources",
        )
