"""The report's plots. Each takes numbers and returns an <svg> element."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from graftline.evaluation.metrics.calibration import Bins
from graftline.evaluation.result import UNITS, Gain
from graftline.models.checkpoint import EpochRecord
from graftline.report import wording
from graftline.report.charts import ACCENT, BAND, CONTROL, INK, MUTED, RULE, canvas, to_svg

Floats = NDArray[np.floating]
Kind = Literal["chosen", "control", "other"]
COLORS: dict[Kind, str] = {"chosen": ACCENT, "control": CONTROL, "other": INK}
_LABEL = 24  # characters; longer labels are shortened in the middle
_MAX_DOTS = 1500
_MAX_POINTS = 80  # per curve; more cannot be distinguished at this size


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot."""

    label: str
    value: float
    low: float | None
    high: float | None
    kind: Kind = "other"


def gain_interval(gain: Gain, delta: float) -> Markup:
    """Plots the gain with its interval over the band of differences too small to matter, in its unit."""
    unit = gain.unit
    value, low, high, margin = (unit.factor * x for x in (gain.value, gain.low, gain.high, delta))
    with canvas(92) as (drawing, (axes,)):
        axes.axvspan(-margin, margin, color=BAND, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        color = CONTROL if gain.verdict == "negative" else ACCENT if gain.verdict == "positive" else INK
        axes.plot([low, high], [0, 0], color=color, linewidth=3, solid_capstyle="butt")
        axes.plot([value], [0], "o", color=color, markersize=9)
        axes.annotate(
            wording.signed(gain, gain.value),
            (value, 0),
            (0, 9),
            textcoords="offset points",
            ha="center",
            color=color,
            fontsize=13,
            fontweight="bold",
        )
        ends = (min(low, -margin, 0), max(high, margin, 0))
        pad = 0.06 * (ends[1] - ends[0]) or 1
        axes.set_xlim(ends[0] - pad, ends[1] + pad)
        axes.set_ylim(-0.6, 1.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", wording.MINUS) if x else "0"))
        sides = "control minus transfer" if gain.measure == "rmse" else "transfer minus control"
        axes.set_xlabel(f"{unit.name} of {unit.figure}, {sides}")
        return to_svg(
            drawing,
            f"Gain {wording.amount(gain)}, 95% interval {wording.interval(gain)}; "
            f"differences within {unit.factor * delta:g} {unit.name} are too small to matter",
        )


def dots(rows: Sequence[Dot], axis: str, alt: str, *, shares: bool = True) -> Markup:
    """Plots one dot with its interval per row, in the given order; fractions in 0..1, or plain numbers."""
    with canvas(46 + 25 * len(rows)) as (drawing, (axes,)):
        for y, row in enumerate(reversed(rows)):
            color = COLORS[row.kind]
            axes.axhline(y, color=RULE, linewidth=0.7, zorder=0)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [y, y], color=color, linewidth=2.2, solid_capstyle="butt")
            axes.plot([row.value], [y], "o", color=color, markersize=6.5)
        axes.set_yticks(range(len(rows)), [_short(row.label) for row in reversed(rows)])
        for label, row in zip(axes.get_yticklabels(), reversed(rows), strict=True):
            label.set_color(COLORS[row.kind])
            label.set_fontweight("bold" if row.kind == "chosen" else "normal")
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.spines["left"].set_visible(False)
        _percent_axis(axes) if shares else axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(axis)
        return to_svg(drawing, alt)


def learning(
    name: str,
    kind: Kind,
    curve: Sequence[EpochRecord],
    others: Sequence[Sequence[EpochRecord]],
    measure: str = "accuracy",
) -> Markup:
    """Plots the learning curve of one candidate: validation accuracy, with the others in the background, and losses.

    Args:
        name: Name of the candidate.
        kind: Role of the candidate.
        curve: Epochs of the candidate.
        others: Curves of the other candidates.
        measure: Main figure: accuracy, RMSE (in deviations) or macro average precision.
    """
    field, sign = ("val_accuracy", 1) if measure == "accuracy" else ("val_score", -1 if measure == "rmse" else 1)
    scored = any(_xy(curve, field)[0])
    what = f"validation {UNITS[measure].figure}"
    with canvas(150, 2 if scored else 1) as (drawing, panels):
        if scored:
            for other in others:
                panels[0].plot(*_xy(other, field, sign), color=RULE, linewidth=1.2)
            panels[0].plot(*_xy(curve, field, sign), color=COLORS[kind], linewidth=2)
            title = "validation AP" if measure == "macro_ap" else what  # two panels leave no space for the long name
            panels[0].set_title(title, fontsize=10.5, color=MUTED, loc="left")
            if measure != "rmse":
                panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%"))
        panels[-1].plot(*_xy(curve, "train_loss"), color=MUTED, linewidth=1.4)
        panels[-1].plot(*_xy(curve, "val_loss"), color=COLORS[kind], linewidth=2)
        panels[-1].set_title("loss", fontsize=10.5, color=MUTED, loc="left")
        for axes in panels:
            for start in _stages(curve):
                axes.axvline(start, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _thousands(x)))
            axes.tick_params(axis="y", labelcolor=MUTED)
        return to_svg(drawing, f"Learning curves of {name}: {what} and losses against training images seen")


def scatter(values: Floats, labels: Floats, name: str) -> Markup:
    """Plots predicted against true values; they agree on the diagonal.

    Args:
        values: (N,) predictions of one output.
        labels: (N,) true values.
        name: Name of the output, for the text alternative.
    """
    with canvas(280) as (drawing, (axes,)):
        ends = [float(min(values.min(), labels.min())), float(max(values.max(), labels.max()))]
        axes.plot(ends, ends, color=RULE, linewidth=1.2, zorder=0)
        kept = _thinned(len(values))
        axes.scatter(labels[kept], values[kept], s=14, color=ACCENT, alpha=0.55, linewidths=0)
        axes.set(xlabel="true", ylabel="predicted")
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", labelcolor=MUTED)
        return to_svg(drawing, f"Predicted {name} against the true one; they agree on the diagonal")


def residuals(values: Floats, labels: Floats, name: str) -> Markup:
    """Plots residuals against predictions: a slope or a funnel shows what the model has not learned.

    Args:
        values: (N,) predictions of one output.
        labels: (N,) true values.
        name: Name of the output, for the text alternative.
    """
    with canvas(280) as (drawing, (axes,)):
        axes.axhline(0, color=RULE, linewidth=1.2, zorder=0)
        kept = _thinned(len(values))
        axes.scatter(values[kept], (values - labels)[kept], s=14, color=INK, alpha=0.45, linewidths=0)
        axes.set(xlabel="predicted", ylabel="predicted minus true")
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", labelcolor=MUTED)
        return to_svg(drawing, f"Errors of {name} against its prediction")


def reliability(before: Bins, after: Bins, share: str = "fraction correct") -> Markup:
    """Plots the fraction of correct predictions (or of images with the label) against predicted probability."""
    with canvas(280) as (drawing, (axes,)):
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, zorder=0)
        for bins, color, fill, label in ((before, CONTROL, "none", "before"), (after, ACCENT, ACCENT, "after")):
            sizes = 20 + 160 * bins.samples / bins.samples.max()
            axes.plot(bins.confidence, bins.right / bins.samples, color=color, linewidth=1, alpha=0.6)
            axes.scatter(
                bins.confidence,
                bins.right / bins.samples,
                s=sizes,
                facecolors=fill,
                edgecolors=color,
                linewidths=1.5,
                label=f"{label} temperature scaling",
                alpha=0.9,
            )
        least = min(float(min(b.confidence.min(), (b.right / b.samples).min())) for b in (before, after))
        floor = max(0.0, np.floor(10 * least) / 10 - 0.02)
        axes.set(xlim=(floor, 1.03), ylim=(floor, 1.03), xlabel="predicted probability", ylabel=share)
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f}%"))
            side.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.legend(loc="upper left", fontsize=10.5, labelcolor=MUTED, handletextpad=0.2, borderaxespad=0)
        return to_svg(drawing, f"Reliability diagram: {share} against predicted probability, equal on the diagonal")


def _percent_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -0.03), min(high, 1.03))


def _thinned(count: int) -> NDArray[np.int64]:
    """Returns the indices of at most 1,500 evenly spaced samples: more dots overlap and make the page large."""
    return np.unique(np.linspace(0, count - 1, min(count, _MAX_DOTS)).astype(np.int64))


def _xy(curve: Sequence[EpochRecord], field: str, sign: int = 1) -> tuple[list[int], list[float]]:
    points = [
        (e.examples_seen, sign * value)
        for e in curve
        if (value := getattr(e, field)) is not None and np.isfinite(value)
    ]
    step = max(1, -(-len(points) // _MAX_POINTS))
    kept = points[::step] + (points[-1:] if (len(points) - 1) % step else [])
    return [x for x, _ in kept], [y for _, y in kept]


def _stages(curve: Sequence[EpochRecord]) -> list[float]:
    """Returns the training images seen at the start of each new stage."""
    return [before.examples_seen for before, after in pairwise(curve) if after.stage != before.stage]


def _thousands(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e3 else f"{value:g}"


def _short(label: str) -> str:
    half = (_LABEL - 1) // 2
    return label if len(label) <= _LABEL else f"{label[:half]}\N{HORIZONTAL ELLIPSIS}{label[-half:]}"
