"""The report's section on the tournament: candidates, their rungs, and why they were eliminated."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from graftline.evaluation.tasks import TASKS
from graftline.report import wording
from graftline.report.charts import ACCENT, INK, MUTED, RULE, canvas, to_svg
from graftline.report.run.artifacts import Run
from graftline.selection.result import Selection
from graftline.selection.tournament.race import RungResult

_NAMES = 6
"""Maximum number of labels beside the chart; the table has all names."""
_LABEL = 22
"""Maximum number of characters of a label; longer ones are shortened in the middle."""


@dataclass(frozen=True)
class RaceRow:
    """One candidate of the tournament."""

    name: str
    stands: list[RungResult]
    chosen: bool

    @property
    def last(self) -> RungResult:
        """Result of its last rung."""
        return self.stands[-1]

    @property
    def outcome(self) -> str:
        """Why it was eliminated, or how it ended."""
        if self.chosen:
            return "selected"
        return self.last.left or ("trained to the end" if self.last.over else "used as it was")

    def score(self, rung: int) -> float | None:
        """Returns the score at the end of a rung, counted from 1; None if it was not trained in that rung."""
        return next((stand.score for stand in self.stands if stand.rung == rung), None)


@dataclass(frozen=True)
class Section:
    """Content of the section."""

    runners: list[RaceRow]
    """Sorted by how far they came, farthest first."""
    ends: list[int]
    budget: int
    shown: int
    """Number of training images seen, as the budget counts them."""
    seconds: float
    axis: str
    """Name of the main metric, for the axis."""
    share: bool
    """Whether the metric is a fraction, shown in percent; otherwise it is a negated error."""
    drawing: Markup | None

    def score(self, value: float | None) -> str:
        """Formats a score; empty if there is none."""
        return "" if value is None else wording.percent(value) if self.share else wording.plain(-value)


def section(run: Run) -> Section | None:
    """Returns the section for a run, None if it had no tournament."""
    found, task = run.selection, run.evaluation.task
    axis, share = TASKS[task].words.validation_metric, not TASKS[task].lower_is_better
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
    """Plots scores against training images seen, one line per candidate, up to its elimination."""
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
        axes.set_xlabel("training images seen at the end of each rung")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%" if share else f"{-y:g}"))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_title(f"{axis} on validation", fontsize=10.5, color=MUTED, loc="left")
        _label(axes, [runner for runner in scored if not runner.last.left][:_NAMES], ends)
        return to_svg(
            drawing,
            f"{axis} of {wording.plural(len(scored), 'candidate')} at the end of each rung; lines end "
            "where a candidate was eliminated",
        )


def _points(runner: RaceRow, ends: list[int]) -> list[tuple[int, float]]:
    return [(_shown(stand, ends) or ends[0], stand.score) for stand in runner.stands if stand.score is not None]


def _shown(stand: RungResult, ends: list[int]) -> int:
    """Returns the images seen, capped at the end of the rung: a head on cached features sees many more at no cost."""
    return min(stand.examples_seen, ends[stand.rung - 1])


def _line(axes: Axes, runner: RaceRow, ends: list[int]) -> None:
    """Draws one candidate; width and markers distinguish lines without color, a cross marks elimination."""
    points = _points(runner, ends)
    color, width = (ACCENT, 2.6) if runner.chosen else (MUTED, 1.0) if runner.last.left else (INK, 1.5)
    axes.plot(*zip(*points, strict=True), color=color, linewidth=width, zorder=3 if runner.chosen else 2)
    for x, y in points[:-1]:
        axes.plot([x], [y], "o", color=color, markersize=3)
    axes.plot(
        *points[-1], "x" if runner.last.left else "o", color=color, markersize=6 if runner.last.left else 6.5, zorder=4
    )


def _label(axes: Axes, runners: Sequence[RaceRow], ends: list[int]) -> None:
    """Puts names to the right of the axes, spaced so that they do not overlap, each with a line to its curve."""
    low, high = axes.get_ylim()
    apart = (high - low) * 0.085
    wanted = sorted(((_points(runner, ends)[-1], runner) for runner in runners), key=lambda pair: pair[0][1])
    y = low - apart
    positions = []
    for (_, score), _runner in wanted:
        y = max(y + apart, score)
        positions.append(y)
    over = max(0.0, y - high)
    for ((x, score), runner), position in zip(wanted, positions, strict=True):
        color = ACCENT if runner.chosen else INK
        axes.annotate(
            _short(runner.name),
            (x, score),
            (ends[-1] * 1.25, position - over),
            va="center",
            ha="left",
            color=color,
            fontsize=9.5,
            fontweight="bold" if runner.chosen else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": RULE, "linewidth": 0.8},
        )


def _short(label: str) -> str:
    half = (_LABEL - 1) // 2
    return label if len(label) <= _LABEL else f"{label[:half]}\N{HORIZONTAL ELLIPSIS}{label[-half:]}"
