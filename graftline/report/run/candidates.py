"""The report's section on the candidates: table, dot plot, learning curves."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from graftline.config import DEFAULT_TASK
from graftline.evaluation.tasks import TASKS
from graftline.models.checkpoint import CandidateResult, EpochRecord
from graftline.report import plots, wording
from graftline.report.plots import Dot, Kind
from graftline.report.run.artifacts import Run


@dataclass(frozen=True)
class Line:
    """One candidate in the table and the plots."""

    name: str
    kind: Kind
    row: CandidateResult
    curve: list[EpochRecord]

    @property
    def style(self) -> str:
        """CSS class of the table row."""
        return "failed" if self.row.status != "ok" else self.kind


@dataclass(frozen=True)
class LearningCurve:
    """Learning curve of one candidate."""

    line: Line
    drawing: Markup


def lines(run: Run) -> list[Line]:
    """Returns the candidates, best validation score first, then those without a score, then the control."""
    found = []
    eliminated = {stand.name for stand in run.selection.stands if stand.left}  # in the table of the tournament
    for name, row in zip(run.selection.names, run.selection.rows, strict=True):
        if name in eliminated:
            continue
        kind: Kind = "control" if row.strategy == "control" else "chosen" if name == run.selection.chosen else "other"
        found.append(Line(name, kind, row, run.selection.histories.get(name, [])))
    return sorted(found, key=lambda line: (line.kind == "control", line.row.status != "ok", _rank(line.row)))


def dot_plot(found: list[Line], task: str = DEFAULT_TASK) -> Markup | None:
    """Plots validation scores with one standard error; None for fewer than two scores."""
    sign = -1 if TASKS[task].lower_is_better else 1
    scored = [
        Dot(line.name, sign * line.row.val_score, *_ends(line.row, sign), line.kind)
        for line in found
        if line.row.val_score is not None and line.row.status == "ok"
    ]
    if len(scored) < 2:
        return None
    alt = "; ".join(
        f"{dot.label} {wording.plain(dot.value) if sign < 0 else wording.percent(dot.value)}" for dot in scored
    )
    return plots.dots(
        scored,
        f"{TASKS[task].words.validation_metric}, \N{PLUS-MINUS SIGN} 1 standard error",
        f"Validation score of each candidate: {alt}",
        shares=sign > 0,
    )


def score(row: CandidateResult, task: str) -> str:
    """Formats the main metric on validation with its standard error: `91.2% ± 0.8`, `0.412 ± 0.020`."""
    if row.val_score is None or not TASKS[task].lower_is_better:
        error = "" if row.val_score_se is None else f" \N{PLUS-MINUS SIGN} {100 * row.val_score_se:.1f}"
        return f"{wording.percent(row.val_score)}{error}"
    error = "" if row.val_score_se is None else f" \N{PLUS-MINUS SIGN} {wording.plain(row.val_score_se)}"
    return f"{wording.plain(-row.val_score)}{error}"


def curves(found: list[Line], measure: str = "accuracy") -> list[LearningCurve]:
    """Plots a learning curve for each candidate with more than one epoch."""
    drawn = [line for line in found if len(line.curve) > 1]
    return [
        LearningCurve(
            line,
            plots.learning(
                line.name, line.kind, line.curve, [other.curve for other in drawn if other is not line], measure
            ),
        )
        for line in drawn
    ]


def _ends(row: CandidateResult, sign: int) -> tuple[float | None, float | None]:
    if row.val_score is None or row.val_score_se is None:
        return None, None
    return sign * row.val_score - row.val_score_se, sign * row.val_score + row.val_score_se


def _rank(row: CandidateResult) -> float:
    return math.inf if row.val_score is None else -row.val_score
