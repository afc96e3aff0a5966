"""The candidates side by side: table, dot plot, learning curves."""

from dataclasses import dataclass

from markupsafe import Markup

from graftline.checkpoint import Epoch, Row
from graftline.report import plots, words
from graftline.report.plots import Dot, Kind
from graftline.report.run import Run


@dataclass(frozen=True)
class Line:
    """One candidate in table and plots."""

    name: str
    kind: Kind
    row: Row
    curve: list[Epoch]

    @property
    def style(self) -> str:
        """The table row's class."""
        return "failed" if self.row.status != "ok" else self.kind


@dataclass(frozen=True)
class Curve:
    """One candidate's drawing."""

    line: Line
    drawing: Markup


def lines(run: Run) -> list[Line]:
    """All candidates, the best on validation first, those without a score and the control behind."""
    found = []
    for name, row in zip(run.selection.names, run.selection.rows, strict=True):
        kind: Kind = "control" if row.strategy == "control" else "chosen" if name == run.selection.chosen else "other"
        found.append(Line(name, kind, row, run.selection.histories.get(name, [])))
    return sorted(found, key=lambda line: (line.kind == "control", line.row.status != "ok", -(line.row.val_score or 0)))


def dot_plot(found: list[Line]) -> Markup | None:
    """Validation scores with a standard error to each side; None below two scores."""
    scored = [Dot(line.name, line.row.val_score, *_ends(line.row), line.kind) for line in found
              if line.row.val_score is not None and line.row.status == "ok"]
    if len(scored) < 2:
        return None
    alt = "; ".join(f"{dot.label} {words.percent(dot.value)}" for dot in scored)
    return plots.dots(scored, "balanced accuracy, \N{PLUS-MINUS SIGN} 1 standard error",
                      f"Validation score of each candidate: {alt}")


def curves(found: list[Line]) -> list[Curve]:
    """A drawing for each candidate that was trained in more than one epoch."""
    drawn = [line for line in found if len(line.curve) > 1]
    return [Curve(line, plots.learning(line.name, line.kind, line.curve,
                                       [other.curve for other in drawn if other is not line])) for line in drawn]


def _ends(row: Row) -> tuple[float | None, float | None]:
    if row.val_score is None or row.val_score_se is None:
        return None, None
    return row.val_score - row.val_score_se, row.val_score + row.val_score_se
