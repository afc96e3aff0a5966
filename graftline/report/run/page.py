"""The report of a run: one self-contained HTML page."""

from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import graftline
from graftline.evaluation.tasks import TASKS
from graftline.report import plots, wording
from graftline.report.run import candidates, race, samples, tested
from graftline.report.run.artifacts import Run
from graftline.report.run.candidates import Line
from graftline.report.run.config_yaml import to_yaml

_FEW = 30  # test images per class, below which per-class figures are imprecise


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline overview."""

    what: str
    key: str
    note: str
    mark: str = ""


@dataclass(frozen=True)
class Cost:
    """One row of the cost table."""

    what: str
    examples_seen: int
    seconds: float
    style: str = ""


def render(run: Run) -> str:
    """Renders the page.

    Args:
        run: Artifacts of the run.

    Returns:
        HTML text; untrusted text is escaped.
    """
    found, data = run.evaluation, run.data.manifest
    delta = run.config.delta
    headline, sentence = wording.verdict(found.gain, delta)
    lines = candidates.lines(run)
    drawings = {
        "gain": plots.gain_interval(found.gain, delta),
        "comparison": tested.comparison(found),
        "dots": candidates.dot_plot(lines, found.task),
        "reliability": tested.reliability(run),
        "precisions": tested.precisions(found),
    }
    main = found.gain.measure
    fewest = min((int(row["examples"]) for row in found.per_class if row["examples"]), default=0)
    return (
        _environment()
        .get_template("page.html")
        .render(
            run=run,
            found=found,
            task_kind=TASKS[found.task],
            data=data,
            version=graftline.__version__,
            css=_css(),
            headline=headline,
            sentence=sentence,
            best=wording.best_of(found.best, found.test[main], found.control_test[main], found.baselines, main),
            main=main,
            fits=tested.fits(run),
            score_name=TASKS[found.task].words.validation_metric,
            score=candidates.score,
            plots=drawings,
            lines=lines,
            curves=candidates.curves(lines, main),
            path=_path(run, lines),
            race=race.section(run),
            measures=wording.metric_names(found.test),
            method=run.chosen.row.val_method or "the validation split",
            matrix=tested.matrix(found),
            heat=tested.heat(found),
            confused=tested.confused(found),
            classes=_classes(run),
            few=fewest < _FEW,
            right=samples.right(run),
            wrong=samples.wrong(run),
            source_notes=_source_notes(run),
            costs=_costs(run),
            config=to_yaml(run.config),
            **_functions(),
        )
    )


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("graftline.report.run", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = wording.percent
    made.filters["plain"] = wording.plain
    made.filters["sentence"] = wording.sentence
    made.filters["listed"] = wording.listed
    return made


def _visible(value: Any) -> Any:
    return wording.visible(value) if type(value) is str else value


def _functions() -> dict[str, Any]:
    names = (
        "percent",
        "points",
        "plain",
        "short",
        "scientific",
        "count",
        "plural",
        "value",
        "ends",
        "duration",
        "size",
        "amount",
        "signed",
        "kinds",
        "kind",
    )
    return {name: getattr(wording, name) for name in names}


def _css() -> Markup:
    return Markup(resources.files("graftline.report").joinpath("style.css").read_text(encoding="utf-8"))


def _path(run: Run, lines: list[Line]) -> list[Stage]:
    found, parity = run.evaluation, run.onnx.parity
    shown = sum(source.row.examples_seen for source in run.sources.values())
    seconds = sum(source.row.train_seconds for source in run.sources.values())
    tried = [line for line in lines if line.kind != "control"]
    good = [line for line in tried if line.row.status == "ok"]
    several = len(run.sources) != 1
    best = next((line.row for line in lines if line.kind == "chosen"), run.chosen.row)
    main = found.gain.measure
    quality = found.test[main]
    held = (
        f"{wording.percent(quality.low)} to {wording.percent(quality.high)} of {wording.count(found.examples)} images"
        if main == "accuracy"
        else f"{found.gain.unit.figure} {wording.ends(quality, main)} on {wording.count(found.examples)} images"
    )
    return [
        Stage(
            "Source",
            wording.plural(len(run.sources), "source") if several else next(iter(run.sources)),
            ", ".join(run.sources) if several else _origin(run),
        ),
        Stage(
            "Pretrained",
            f"{wording.count(shown)} images" if shown else "no training",
            f"seen in {wording.duration(seconds)}" if shown else "published or random weights",
        ),
        Stage(
            "Candidates",
            wording.plural(len(good), "candidate"),
            f"and the control{f'; {len(tried) - len(good)} more failed' if len(good) < len(tried) else ''}",
        ),
        Stage(
            "Selected on validation",
            run.selection.chosen,
            f"{TASKS[found.task].words.validation_metric} {candidates.score(best, found.task)}",
        ),
        Stage("Test", wording.value(quality, main), held),
        Stage(
            "ONNX",
            wording.size(run.onnx.size_bytes),
            f"logits differ by at most {wording.scientific(parity.max_abs_diff)}"
            if main != "rmse"
            else f"values differ by at most {wording.scientific(parity.max_abs_diff)} deviations",
        ),
        Stage("Gate", run.gate.verdict, wording.plural(len(run.gate.reasons), "reason"), run.gate.verdict),
    ]


def _origin(run: Run) -> str:
    """Returns where the only source comes from: its file name or URI."""
    source = run.config.source[0]
    if source.data:
        return source.data if source.data.startswith("builtin:") else PurePosixPath(source.data).name
    return "published weights" if source.init == "DEFAULT" else PurePosixPath(source.init).name


def _classes(run: Run) -> list[dict[str, Any]]:
    """Returns the per-class figures; many classes are sorted, lowest first."""
    rows = run.evaluation.per_class
    by = TASKS[run.evaluation.task].words.row_metric[0]
    return rows if len(rows) <= _FEW else sorted(rows, key=lambda row: (not row["examples"], row[by]))


def _source_notes(run: Run) -> list[str]:
    found = []
    for label, source in run.sources.items():
        licence = [f"license of the weights: {source.licence}"] if source.licence else []
        found += [f"{label}: {note}" for note in [*licence, *source.row.notes]]
    return found


def _costs(run: Run) -> list[Cost]:
    found = run.evaluation
    pretrained = [
        Cost(f"source {label}", source.row.examples_seen, source.row.train_seconds)
        for label, source in run.sources.items()
        if source.row.examples_seen
    ]
    seeds, sides = len(found.chosen.examples_seen), (found.chosen, found.control)
    more = (
        []
        if seeds == 1
        else [
            Cost(
                f"additional seeds of both ({seeds - 1} each)",
                sum(sum(side.examples_seen[1:]) for side in sides),
                sum(sum(side.seconds[1:]) for side in sides),
            )
        ]
    )
    rows = [row for row in run.selection.rows if row.strategy != "control"]
    return [
        *pretrained,
        Cost(f"transfer: {run.selection.chosen}", found.chosen.examples_seen[0], found.chosen.seconds[0], "chosen"),
        Cost("control", found.control.examples_seen[0], found.control.seconds[0], "control"),
        Cost(
            "all candidates except the control",
            sum(row.examples_seen for row in rows),
            sum(row.train_seconds for row in rows),
        ),
        *more,
    ]
