"""The page: whole in itself, true to the artifacts, safe against hostile names, empty where there is nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from graftline.config import Gate
from graftline.evaluation.result import Evaluation
from graftline.report.run import artifacts as runs
from graftline.report.run import page, samples, tested
from graftline.report.run.artifacts import Run
from graftline.report.run.summary import summary
from graftline.runtime import manifest
from tests.builders.artifacts import HOSTILE, Folders, write_run

PARTS = ("dataset", "sources", "selection", "chosen", "control", "evaluation", "onnx", "gate")
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects tags, addresses and text, and checks that elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(folders: Folders) -> Run:
    return runs.read(folders.config, **folders.paths(*PARTS))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read(write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read(write_run(tmp_path_factory.mktemp("hostile"), classes=HOSTILE, seeds=1, converged=False, shots=3))


@pytest.fixture(scope="module")
def html(run: Run) -> Reader:
    return Reader(page.render(run))


def changed(run: Run, **evaluation: object) -> Run:
    return Run(**{**vars(run), "evaluation": run.evaluation.model_copy(update=evaluation)})


def test_first_screen_answers(run: Run, html: Reader) -> None:
    found = run.evaluation
    for text in (
        "Transfer helped.",
        "Did transfer help?",
        "Best model on the test images",
        "Is the ONNX model equal to the tested one?",
        "Release gate",
        "Promoted: the model is released.",
        f"{100 * found.gain.value:+.1f} points",
        f"{100 * found.test['accuracy'].value:.1f}%",
        f"all {found.examples:,} test images",
    ):
        assert text in html.text


def test_page_holds_each_section(html: Reader) -> None:
    ids = [value for _, name, value in html.attributes if name == "id"]
    assert [i for i in ids if "-" not in i] == [
        "path",
        "candidates",
        "curves",
        "test",
        "samples",
        "data",
        "costs",
        "again",
    ]
    assert "builtin:digits/scanned" in html.text
    assert "diverged: loss became NaN in epoch 2, batch 7" in html.text
    assert html.tags.count("svg") == 7  # gain, comparison, candidates, three curves, reliability


def test_page_loads_nothing(run: Run) -> None:
    text = page.render(run)
    for tag, name, value in Reader(text).attributes:
        if name in ("src", "href", "xlink:href", "action", "poster", "srcset"):
            assert value.startswith(("data:image/", "#")), (tag, name, value[:80])
    assert not re.search(r"@import|url\((?!#)|<script|<link|javascript:", text)
    assert not {"script", "link", "iframe", "object"} & set(Reader(text).tags)


def test_every_reference_has_its_target_and_every_picture_its_words(html: Reader) -> None:
    ids = [value for _, name, value in html.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in html.attributes:
        if name in ("href", "xlink:href") and value.startswith("#"):
            assert value[1:] in ids
        for target in re.findall(r"url\(#([^)]+)\)", value):
            assert target in ids
    assert html.tags.count("svg") == sum(1 for t, n, v in html.attributes if t == "svg" and n == "aria-label" and v)
    assert html.tags.count("img") == sum(1 for t, n, v in html.attributes if t == "img" and n == "alt" and v)


def test_hostile_names_stay_text(hostile: Run) -> None:
    text = page.render(hostile)
    html = Reader(text)
    assert "script" not in html.tags
    assert not [n for _, n, _ in html.attributes if n.startswith("on")]
    assert "<script>alert(1)</script>" in html.text
    assert "{{ 7 * 7 }}" in html.text
    assert "$\\frac{1}{2}$" in html.text
    assert "\u202e" not in text
    assert text.count("</style>") == 1


def test_weaker_words_where_the_run_is_weaker(hostile: Run) -> None:
    text = Reader(page.render(hostile)).text
    assert "Undecided." in text
    assert "One seed" in text
    assert "reached its limit while still improving" in text


def test_the_page_says_when_the_transfer_is_not_best(run: Run) -> None:
    text = Reader(page.render(changed(run, best="control"))).text
    assert "Not the transfer. The control has" in text


def test_held_back(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "run", policy=Gate(min_accuracy=0.999)))
    text = Reader(page.render(run)).text
    assert "Rejected: the model is not released." in text
    assert summary(run)["onnx"]["path"] is None
    assert summary(run)["gate"]["verdict"] == "reject"


def test_sections_without_data_are_left_out(run: Run) -> None:
    bare = Run(**{**vars(run), "selection": run.selection.model_copy(update={"histories": {}})})
    html = Reader(page.render(bare))
    assert "Learning curves" not in html.text
    assert html.tags.count("svg") == 4


def test_samples_are_what_the_model_said(run: Run) -> None:
    wrong, right = samples.wrong(run), samples.right(run)
    assert len(wrong) == len(right) == 8
    assert all(s.truth != s.label for s in wrong)
    assert all(s.truth == s.label for s in right)
    assert [s.probability for s in wrong] == sorted((s.probability for s in wrong), reverse=True)
    assert len({s.truth for s in right}) == 8
    assert all(s.picture.startswith("data:image/png") and s.small for s in wrong)


def test_many_classes(run: Run) -> None:
    """40 classes: a picture in place of the table, the worst classes first, the rest behind a fold."""
    names = [f"class {i}" for i in range(40)]
    rows = [
        {"class": name, "precision": 0.5, "recall": i / 40, "f1": 0.5, "examples": 20} for i, name in enumerate(names)
    ]
    counts = [[int(i == j) * 9 + int(j == 0) for j in range(40)] for i in range(40)]
    wide = changed(run, classes=names, per_class=rows[::-1], confusion=counts)
    html = Reader(page.render(wide))
    assert tested.matrix(wide.evaluation) is None
    assert "The other 10 classes" in html.text
    assert html.text.index("class 0") < html.text.index("class 39")
    assert ("img", "class", "heat") in html.attributes


def test_no_wrong_answer(run: Run) -> None:
    labels = run.predictions.labels
    perfect = Run(
        **{
            **vars(run),
            "predictions": type(run.predictions)(
                labels,
                {s: (labels[:, None] == range(10)).astype("float32") * 9 for s in run.predictions.chosen},
                run.predictions.control,
                run.predictions.baselines,
            ),
        }
    )
    html = Reader(page.render(perfect))
    assert samples.wrong(perfect) == []
    assert "Most wrongly sure" not in html.text


def test_summary_is_what_scripts_read(run: Run) -> None:
    found = summary(run)
    evaluation = run.evaluation
    assert found["task"] == "classification"
    assert found["test"]["accuracy"] == evaluation.test["accuracy"].value
    assert found["test"]["examples"] == evaluation.examples
    assert found["test_intervals"]["accuracy"] == [evaluation.test["accuracy"].low, evaluation.test["accuracy"].high]
    assert found["selected"]["strategy"] == run.chosen.strategy
    assert found["control"]["converged"] is True
    assert found["transfer_gain"]["verdict"] == "positive"
    assert found["onnx"]["path"] == "release/model.onnx"
    assert found["onnx"]["int8"]["kept"] is False
    assert found["onnx"]["int8"]["why"]
    assert found["dataset_digest"]["target"] == run.data.manifest.digest
    assert found["dataset_digest"]["source"] == run.sources["clean"].dataset_digest
    assert [row["strategy"] for row in found["candidates"]] == ["zero", "feature", "full", "partial", "control"]
    assert set(found["baselines"]) == {"majority", "forest"}


def test_summary_names_several_sources(run: Run) -> None:
    other = run.sources["clean"].model_copy(update={"dataset_digest": None})
    several = Run(**{**vars(run), "sources": {**run.sources, "imagenet": other}})
    expected = {"clean": run.sources["clean"].dataset_digest, "imagenet": None}
    assert summary(several)["dataset_digest"]["source"] == expected
    assert "2 sources" in Reader(page.render(several)).text


def test_evaluation_without_intervals(run: Run) -> None:
    bare = {name: figure.model_copy(update={"low": None, "high": None}) for name, figure in run.evaluation.test.items()}
    assert page.render(changed(run, test=bare))
    assert summary(changed(run, test=bare))["test_intervals"] == {}


def test_reading_refuses_a_folder_that_is_not_whole(tmp_path: Path) -> None:
    from graftline.runtime.errors import RefusedError

    folders = write_run(tmp_path / "run")
    (folders.gate / manifest.NAME).unlink()
    with pytest.raises(RefusedError, match=r"gate: no manifest\.json"):
        read(folders)
    assert manifest.read(folders.evaluation, Evaluation)
