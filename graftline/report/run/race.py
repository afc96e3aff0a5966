"""The tournament: who raced, how far each came, and why it left."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from graftline.report import wording
from graftline.report.charts import ACCENT, INK, MUTED, RULE, canvas, to_svg
from graftline.report.run.artifacts import Run
from graftline.report.run.candidates import SCORES
from graftline.selection.result import Selection
from graftline.selection.tournament.race import RungResult

_NAMES = 6
"""Labels beside the chart, at most; all names stand in the table."""
_LABEL = 22
"""Characters of a label; longer ones are cut in the middle."""


@dataclass(frozen=True)
class RaceRow:
    """One candidate of the tournament."""

    name: str
    stands: list[RungResult]
    chosen: bool

    @property
    def last(self) -> RungResult:
        """Where it stood last."""
        return self.stands[-1]

    @property
    def fate(self) -> str:
        """What became of it, in words."""
        if self.chosen:
            return "chosen"
        return self.last.left or ("trained to its end" if self.last.over else "taken as it was")

    def score(self, rung: int) -> float | None:
        """At the end of a rung, counted from 1; None where it did not train in it."""
        return next((stand.score for stand in self.stands if stand.rung == rung), None)


@dataclass(frozen=True)
class Section:
    """What the page shows."""

    runners: list[RaceRow]
    """Those who came farthest first."""
    ends: list[int]
    budget: int
    shown: int
    """Images, as the budget counts them."""
    seconds: float
    axis: str
    """Name of the main metric."""
    share: bool
    """Whether that is a share, to be shown in percent; else it is an error with its sign turned."""
    drawing: Markup | None

    def score(self, value: float | None) -> str:
        """Writes a score; empty where there is none."""
        return "" if value is None else wording.percent(value) if self.share else wording.plain(-value)


def section(run: Run) -> Section | None:
    """Returns the tournament of a run, None where there was none."""
    found, task = run.selection, run.evaluation.task
    axis, share = SCORES[task], task != "regression"
    if not found.stands:
        return None
    runners = _runners(found)
    return Section(
        runners,
        found.ends,
        found.budget,
        sum(_shown(runner.last, found.ends) for runner in runners),
        sum(runner.last.train_seconds for runner in runners),
        axis,
        share,
        _draw(runners, found.ends, axis, share=share),
    )


def _runners(found: Selection) -> list[RaceRow]:
    by_name: dict[str, list[RungResult]] = {}
    for stand in sorted(found.stands, key=lambda stand: stand.rung):
        by_name.setdefault(stand.name, []).append(stand)
    runners = [RaceRow(name, stands, name == found.chosen) for name, stands in by_name.items()]
    return sorted(
        runners,
        key=lambda each: (
            bool(each.last.left),
            -each.last.rung if each.last.left else 0,
            each.last.score is None,
            -(each.last.score or 0.0),
        ),
    )


def _draw(runners: Sequence[RaceRow], ends: list[int], axis: str, *, share: bool) -> Markup | None:
    """Scores against images shown, a line a candidate, ending where it left."""
    scored = [runner for runner in runners if any(stand.score is not None for stand in runner.stands)]
    if len(scored) < 2 or not ends[0]:
        return None
    with canvas(250) as (drawing, (axes,)):
        for end in ends:
            axes.axvline(end, color=RULE, linewidth=0.8, zorder=0)
        for runner in reversed(scored):
            _line(axes, runner, ends)
        axes.set_xscale("log")
        axes.set_xlim(ends[0] / 1.25, ends[-1] * 1.1)
        axes.xaxis.set_minor_locator(NullLocator())
        ticks = dict.fromkeys(ends)
        axes.set_xticks(list(ticks), [f"{end:,}" for end in ticks])
        axes.set_xlabel("images shown, at the rungs' ends")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%" if share else f"{-y:g}"))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_title(f"{axis} on validation", fontsize=10.5, color=MUTED, loc="left")
        _label(axes, [runner for runner in scored if not runner.last.left][:_NAMES], ends)
        return to_svg(
            drawing,
            f"{axis} of {wording.plural(len(scored), 'candidate')} at the end of each rung; lines end "
            "where a candidate left",
        )


def _points(runner: RaceRow, ends: list[int]) -> list[tuple[int, float]]:
    return [(_shown(stand, ends) or ends[0], stand.score) for stand in runner.stands if stand.score is not None]


def _shown(stand: RungResult, ends: list[int]) -> int:
    """A head on cached features is shown many images in no time, so a rung's end is the farthest place."""
    return min(stand.examples_seen, ends[stand.rung - 1])


def _line(axes: Axes, runner: RaceRow, ends: list[int]) -> None:
    """Told apart without colour too: by width, and by a cross where it left."""
    points = _points(runner, ends)
    colour, width = (ACCENT, 2.6) if runner.chosen else (MUTED, 1.0) if runner.last.left else (INK, 1.5)
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=width, zorder=3 if runner.chosen else 2)
    for x, y in points[:-1]:
        axes.plot([x], [y], "o", color=colour, markersize=3)
    axes.plot(
        *points[-1], "x" if runner.last.left else "o", color=colour, markersize=6 if runner.last.left else 6.5, zorder=4
    )


def _label(axes: Axes, runners: Sequence[RaceRow], ends: list[int]) -> None:
    """Names right of the axes, pushed apart so that none covers another, with a thin line to where each belongs."""
    low, high = axes.get_ylim()
    apart = (high - low) * 0.085
    wanted = sorted(((_points(runner, ends)[-1], runner) for runner in runners), key=lambda pair: pair[0][1])
    y = low - apart
    places = []
    for (_, score), _runner in wanted:
        y = max(y + apart, score)
        places.append(y)
    over = max(0.0, y - high)
    for ((x, score), runner), place in zip(wanted, places, strict=True):
        colour = ACCENT if runner.chosen else INK
        axes.annotate(
            _short(runner.name),
            (x, score),
            (ends[-1] * 1.25, place - over),
            va="center",
            ha="left",
            color=colour,
            fontsize=9.5,
            fontweight="bold" if runner.chosen else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": RULE, "linewidth": 0.8},
        )


def _short(label: str) -> str:
    half = (_LABEL - 1) // 2
    return label if len(label) <= _LABEL else f"{label[:half]}\N{HORIZONTAL ELLIPSIS}{label[-half:]}"
