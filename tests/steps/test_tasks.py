"""Regression and multilabel, the whole way from checkpoints to a release and a page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import average_precision_score, root_mean_squared_error

from graftline.config import Gate
from graftline.config.jobs import EvaluateJob, ReleaseJob, ReportJob
from graftline.data import dataset
from graftline.evaluation.result import Evaluation, Predictions, read_predictions, write_predictions
from graftline.evaluation.verdict.gate import GateResult
from graftline.release import artifact
from graftline.release.onnx import model_file
from graftline.release.onnx.parity import ParityError, compare
from graftline.release.serving.predict import predict
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.steps.evaluate import evaluate
from graftline.steps.export_onnx import export_onnx
from graftline.steps.release import release as release_step
from graftline.steps.report import report
from tests.builders.artifacts import Folders
from tests.builders.tasks import NAMES, judge, make_checkpoint, write_run
from tests.report.run.test_page import PARTS, Reader

TASKS = ["regression", "multilabel"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folders]:
    return {task: write_run(tmp_path_factory.mktemp(task), task) for task in TASKS}


@pytest.fixture
def copy(runs: dict[str, Folders], tmp_path: Path) -> dict[str, Folders]:
    for task, run in runs.items():
        shutil.copytree(run.root, tmp_path / task)
    return {task: Folders(tmp_path / task, run.config) for task, run in runs.items()}


def evaluated(run: Folders) -> Evaluation:
    return manifest.read(run.evaluation, Evaluation, verify=True)


def test_figures_are_those_of_scikit_learn(runs: dict[str, Folders]) -> None:
    found, stored = evaluated(runs["regression"]), read_predictions(runs["regression"].evaluation)
    data = dataset.read(runs["regression"].dataset)
    own = root_mean_squared_error(stored.labels, stored.chosen[0], multioutput="raw_values")
    assert found.test["rmse"].value == pytest.approx(np.mean(own / data.manifest.target_std), rel=1e-5)
    assert [row["rmse"] for row in found.per_class] == pytest.approx(own, rel=1e-5)
    assert found.calibration is None
    found, stored = evaluated(runs["multilabel"]), read_predictions(runs["multilabel"].evaluation)
    own = [average_precision_score(stored.labels[:, k], stored.chosen[0][:, k]) for k in range(3)]
    assert found.test["macro_ap"].value == pytest.approx(np.mean(own))
    assert [row["ap"] for row in found.per_class] == pytest.approx(own)
    assert found.calibration is not None
    assert found.temperature == found.calibration.temperature != 1


@pytest.mark.parametrize("task", TASKS)
def test_the_gain_is_positive_where_the_transfer_is_better(runs: dict[str, Folders], task: str) -> None:
    found = evaluated(runs[task])
    assert found.task == task
    assert found.gain.seeds == 3
    assert found.gain.verdict == "positive", found.gain
    assert found.gain.low < found.gain.value < found.gain.high
    assert found.gain.unit.name in found.gain.reasons[0]
    assert found.best == "chosen"
    assert set(found.baselines) == {"mean" if task == "regression" else "prior", "forest"}
    assert len(found.chosen.score_by_seed) == len(found.control.score_by_seed) == 3
    for figure in (*found.test.values(), *found.baselines.values()):
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high


@pytest.mark.parametrize("task", TASKS)
def test_the_gain_turns_around_with_the_sides(runs: dict[str, Folders], tmp_path: Path, task: str) -> None:
    run = runs[task]
    found = evaluate(
        EvaluateJob(delta=0.01, seed=0),
        dataset=run.dataset,
        sources=run.sources,
        chosen=run.control,
        control=run.chosen,
        confirmations=[],
        out=tmp_path / "e",
    )
    assert found.gain.value < 0
    assert found.gain.high < 0
    assert found.best == "control"


@pytest.mark.parametrize("task", TASKS)
def test_the_file_is_the_same_model(runs: dict[str, Folders], task: str) -> None:
    model = model_file.load(runs[task].onnx)
    data, tested = dataset.read(runs[task].dataset), read_predictions(runs[task].evaluation).chosen[0]
    outputs, answers = model.run(data.test.images)
    assert model.facts.task == task
    np.testing.assert_allclose(outputs, tested, rtol=1e-4, atol=1e-4)
    if task == "regression":
        assert [o.name for o in model.session.get_outputs()] == ["values"]
        np.testing.assert_array_equal(outputs, answers)
    else:
        np.testing.assert_allclose(answers, expit(outputs / model.facts.temperature), atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_another_model_is_not_exported(copy: dict[str, Folders], task: str) -> None:
    run = copy[task]
    stored = read_predictions(run.evaluation)
    write_predictions(
        run.evaluation,
        Predictions(stored.labels, {**stored.chosen, 0: stored.chosen[1]}, stored.control, stored.baselines),
    )
    manifest.write(run.evaluation, evaluated_unchecked(run))
    with pytest.raises(ParityError, match="s that `evaluate` scored"):
        export_onnx_again(run)
    data, model = dataset.read(run.dataset), model_file.load(run.onnx)
    outputs = model.run(data.test.images)[0]
    spoiled = outputs.copy()
    spoiled[3, 0] = np.nan
    with pytest.raises(ParityError, match="on test image 3"):
        compare(model, data.test.images, spoiled, spoiled, batch_sizes=[7], relative=1e-4)


def evaluated_unchecked(run: Folders) -> Evaluation:
    return manifest.read(run.evaluation, Evaluation).model_copy(update={"files": {}})


def export_onnx_again(run: Folders) -> None:
    from graftline.config.jobs import ExportJob

    export_onnx(ExportJob(), **run.paths("dataset", "chosen", "evaluation"), out=run.root / "again")


@pytest.mark.parametrize(
    ("task", "policy", "verdict", "reason"),
    [
        ("regression", {"max_rmse": 0.9, "require_positive_gain": True}, "promote", "RMSE is"),
        ("regression", {"max_rmse": 0.01}, "reject", "clearly over the ceiling 0.01"),
        ("regression", {"min_accuracy": 0.1}, "hold", "The file has no accuracy"),
        ("regression", {"min_class_recall": 0.1}, "hold", "The file has no recall"),
        ("multilabel", {"min_macro_ap": 0.5, "min_class_recall": 0.2, "max_ece": 0.9}, "promote", "Macro average"),
        ("multilabel", {"min_macro_ap": 0.999}, "reject", "clearly under the floor 0.999"),
        ("multilabel", {"max_rmse": 1}, "hold", "The file has no RMSE"),
        ("multilabel", {"min_class_recall": 1.0}, "reject", "Recall of class"),
    ],
)
def test_floors(copy: dict[str, Folders], task: str, policy: dict[str, float], verdict: str, reason: str) -> None:
    found = judge(copy[task], Gate.model_validate(policy))
    assert isinstance(found, GateResult)
    assert found.verdict == verdict, found.reasons
    assert any(reason in text for text in found.reasons)
    assert any("baseline" in text for text in found.reasons)


@pytest.mark.parametrize("task", TASKS)
def test_a_worse_file_fewer_samples_and_invented_figures_are_never_promoted(
    copy: dict[str, Folders], task: str
) -> None:
    run = copy[task]
    honest, stored = evaluated_unchecked(run), read_predictions(run.evaluation)
    name = honest.gain.measure

    def verdict(found: Evaluation, chosen: np.ndarray | None = None) -> GateResult:
        write_predictions(
            run.evaluation,
            Predictions(
                stored.labels,
                {**stored.chosen, 0: stored.chosen[0] if chosen is None else chosen},
                stored.control,
                stored.baselines,
            ),
        )
        manifest.write(run.evaluation, found)
        judged = judge(run, Gate())
        assert isinstance(judged, GateResult)
        return judged

    assert verdict(honest).verdict == "promote"
    better = honest.test | {name: honest.test[name].model_copy(update={"value": honest.test[name].value + 0.05})}
    assert "the evaluation states" in verdict(honest.model_copy(update={"test": better})).reasons[0]
    assert "not the tested model" in verdict(honest, stored.control[0]).reasons[0]
    assert verdict(honest.model_copy(update={"examples": 100})).verdict == "hold"
    assert verdict(honest.model_copy(update={"task": "classification"})).verdict == "hold"
    assert verdict(honest.model_copy(update={"test": {}})).verdict == "hold"


def test_answers_that_are_no_numbers_stop_the_run(runs: dict[str, Folders], tmp_path: Path) -> None:
    run = runs["regression"]
    make_checkpoint(tmp_path / "bad", dataset.read(run.dataset), "bad", strategy="full", steps=1, poison=True)
    with pytest.raises(DivergedError, match="bad: 160 of 160 samples"):
        evaluate(
            EvaluateJob(delta=0.01, seed=0),
            dataset=run.dataset,
            sources=run.sources,
            chosen=tmp_path / "bad",
            control=run.control,
            confirmations=[],
            out=tmp_path / "e",
        )


def test_a_checkpoint_of_another_task_is_refused(runs: dict[str, Folders], tmp_path: Path) -> None:
    run = runs["multilabel"]
    shutil.copytree(run.chosen, tmp_path / "chosen")
    found = json.loads((tmp_path / "chosen" / "manifest.json").read_text())
    (tmp_path / "chosen" / "manifest.json").write_text(json.dumps({**found, "task": "classification"}))
    with pytest.raises(RefusedError, match="was made for classification, the dataset is for multilabel"):
        evaluate(
            EvaluateJob(delta=0.01, seed=0),
            dataset=run.dataset,
            sources=run.sources,
            chosen=tmp_path / "chosen",
            control=run.control,
            confirmations=[],
            out=tmp_path / "e",
        )


@pytest.mark.parametrize("task", TASKS)
def test_release_verifies_serves_and_predicts(runs: dict[str, Folders], tmp_path: Path, task: str) -> None:
    run, out = runs[task], tmp_path / "release"
    release_step(
        ReleaseJob(store=None, delta=0.01), **run.paths("dataset", "onnx", "evaluation", "gate", "chosen"), out=out
    )
    assert "8 stored images give the stored outputs" in list(artifact.verify(out))[-1]
    served = next(out.glob("serving/*/config.pbtxt")).read_text()
    card = (out / "MODEL_CARD.md").read_text()
    data = dataset.read(run.dataset)
    Image.fromarray(np.asarray(data.test.images[0])[0]).save(tmp_path / "one.png")
    (answer,) = predict(out, [tmp_path / "one.png"])
    told = json.loads(json.dumps(answer.as_dict()))
    if task == "regression":
        assert 'name: "values", data_type: TYPE_FP32, dims: [ 2 ], label_filename' in served
        assert "softmax" not in card
        assert "Regression from images to 2 outputs: height, glow" in card
        assert list(told["values"]) == NAMES[task]
        assert told["values"]["glow"] == pytest.approx(float(model_file.load(out).run(data.test.images[:1])[0][0, 1]))
        assert "glow 1" in answer.as_line()
    else:
        assert 'name: "probabilities"' in served
        assert "sigmoid(logits / " in card
        assert told["labels"] == [name for name, share in told["probabilities"].items() if share > 0.5]
        assert answer.as_line().startswith(f"{tmp_path / 'one.png'}: ")


@pytest.mark.parametrize(("task", "outputs"), [("regression", None), ("regression", 1), ("multilabel", None)])
def test_the_page_and_the_summary(runs: dict[str, Folders], tmp_path: Path, task: str, outputs: int | None) -> None:
    run = write_run(tmp_path / "run", task, outputs=outputs, seeds=1) if outputs else runs[task]
    found = report(ReportJob(config=run.config), **run.paths(*PARTS), out=tmp_path / "out")
    html = Reader((tmp_path / "out" / "report.html").read_text())
    drawn = {("regression", None): 9, ("regression", 1): 7, ("multilabel", None): 7}[task, outputs]
    assert html.tags.count("svg") == drawn  # gain, comparison, candidates, two curves, and the task's own
    assert {"b", "script"} & {tag for tag in html.tags if tag == "script"} == set()
    assert "weight decay 0.05: few images." in html.text.replace("Weight", "weight")
    assert "accuracy" not in html.text.lower().replace("builtin", "")
    assert found["task"] == task
    figures = {
        "regression": {"rmse", "mae", "r2"},
        "multilabel": {"macro_ap", "micro_ap", "macro_f1", "exact", "loss", "ece"},
    }[task]
    assert set(found["test"]) == figures | {"examples"}
    assert figures < set(found["control"])
    assert found["control"]["converged"] is True
    assert (found["calibration"] is None) == (task == "regression")
    if task == "regression":
        assert "deviations" in html.text
        assert "Confusion" not in html.text
        assert found["onnx"]["argmax_agreement"] is None
    else:
        assert "points" in html.text
        assert "<b>left</b>" in html.text
        assert found["onnx"]["argmax_agreement"] == 1
