"""Formats numbers, intervals and verdicts for the report: rounded, with units, in plain words."""

import math
import re
from collections.abc import Iterable, Sequence

from graftline.evaluation.result import UNITS, Estimate, Gain
from graftline.evaluation.tasks import TASKS

MINUS = "\N{MINUS SIGN}"
NAMES = {
    "chosen": "the transfer",
    "control": "the control",
    "majority": "the majority class",
    "forest": "the random forest",
    "mean": "predicting the training mean",
    "prior": "predicting label frequencies",
}
SHORT = {
    "chosen": "transfer",
    "forest": "random forest",
    "majority": "majority class",
    "mean": "training mean",
    "prior": "label frequencies",
}
MEASURES = {
    "rmse": "RMSE",
    "mae": "Mean absolute error",
    "r2": "R\N{SUPERSCRIPT TWO}",
    "macro_ap": "Macro average precision",
    "micro_ap": "Micro average precision",
    "exact": "Exact match (all labels correct)",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
    "loss": "Loss (cross-entropy)",
    "ece": "Calibration error (ECE)",
}
_PLAIN = ("loss", "rmse", "mae", "r2")


def metric_names(metrics: Iterable[str]) -> dict[str, str]:
    """Returns the name of each metric for a reader, in the order of the report; an unknown metric keeps its own."""
    keys = list(metrics)
    return {key: name for key, name in MEASURES.items() if key in keys} | {k: k for k in keys if k not in MEASURES}


def percent(value: float | None, digits: int = 1) -> str:
    """Formats 0.9312 as `93.1%`; a value below 1 is never rounded up to 100%."""
    if value is None or not math.isfinite(value):
        return "n/a"
    text = f"{100 * value:.{digits}f}"
    if value < 1 and float(text) == 100:
        return f">{100 - 10**-digits:.{digits}f}%"
    return f"{text}%".replace("-", MINUS)


def points(value: float | None, digits: int = 1) -> str:
    """Formats a difference of two fractions in points, with its sign: 0.09 as `+9.0`."""
    if value is None or not math.isfinite(value):
        return "n/a"
    rounded = round(100 * value, digits)
    return f"{rounded or 0.0:+.{digits}f}".replace("-", MINUS) if rounded else f"{0:.{digits}f}"


def value(figure: Estimate, name: str = "accuracy") -> str:
    """Formats a figure without its interval: `93.1%`; losses and errors as plain numbers."""
    return plain(figure.value) if name in _PLAIN else percent(figure.value)


def ends(figure: Estimate, name: str = "accuracy") -> str:
    """Formats a figure's interval: `(91.2 to 94.6)`; empty if it has none."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (plain(x) if name in _PLAIN else percent(x).rstrip("%") for x in (figure.low, figure.high))
    return f"({low} to {high})"


def figure(figure: Estimate, name: str = "accuracy") -> str:
    """Formats a figure with its interval: `93.1% (91.2 to 94.6)`."""
    return f"{value(figure, name)} {ends(figure, name)}".rstrip()


def signed(gain: Gain, value: float) -> str:
    """Formats a value in the unit of a gain, with its sign: `+9.0`, for RMSE `+0.090`."""
    digits = gain.unit.digits
    return points(value * gain.unit.factor / 100, digits)


def amount(gain: Gain) -> str:
    """Formats a gain with its unit: `+9.0 points`, `+0.090 deviations`."""
    return f"{signed(gain, gain.value)} {gain.unit.name}"


def interval(gain: Gain) -> str:
    """Formats a gain's 95% interval in its unit: `+7.0 to +11.0`."""
    return f"{signed(gain, gain.low)} to {signed(gain, gain.high)}"


def kinds(task: str, number: int) -> str:
    """Formats the number of classes, outputs or labels: `10 classes`, `1 output`, `4 labels`."""
    return plural(number, *TASKS[task].words.nouns)


def kind(task: str) -> str:
    """Returns `class`, `output` or `label`."""
    return TASKS[task].words.nouns[0]


def plain(value: float | None) -> str:
    """Formats a number with three significant digits."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:#.3g}".rstrip(".").replace("-", MINUS)


def short(value: float) -> str:
    """Formats a measurement such as milliseconds with two or three significant digits, without trailing zeros."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def size(count_of_bytes: int) -> str:
    """Formats bytes as `3.4 MB` or `12 kB`."""
    return f"{count_of_bytes / 1e6:.1f} MB" if count_of_bytes >= 1e6 else f"{max(1, round(count_of_bytes / 1e3))} kB"


def scientific(value: float) -> str:
    """Formats a small number such as a difference between logits: `1.2e-06` below 0.001, else plain."""
    return f"{value:.1e}".replace("-", MINUS) if 0 < value < 0.00095 else f"{value:.2g}"


def count(value: int) -> str:
    """Formats 1234 as `1,234`."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Formats seconds as `0.4 s`, `12 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Formats a count with its noun: `1 image`, `2 images`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def visible(text: str) -> str:
    """Replaces invisible characters and those that change the text direction by a visible mark."""
    return re.sub("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", "\N{REPLACEMENT CHARACTER}", text)


def sentence(text: str) -> str:
    """Formats a note as a sentence: first letter in upper case, a period at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


def listed(items: Sequence[object]) -> str:
    """Formats a list: `1, 2 and 7`."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last


def verdict(gain: Gain, delta: float) -> tuple[str, str]:
    """Returns a headline for a gain's verdict and a sentence with the numbers.

    Args:
        gain: Gain of the selected candidate over the control.
        delta: Smallest difference that matters, in 0..1.
    """
    rmse = gain.measure == "rmse"
    margin = f"margin of {delta:g} deviations" if rmse else f"{100 * delta:g}-point margin"
    unclear = gain.low <= delta and gain.high >= -delta
    headline, why = {
        "positive": ("Transfer helped.", f"the whole interval is above the {margin}"),
        "negative": ("Transfer hurt.", f"the whole interval is below the {margin}"),
        "none": ("Transfer made no difference that matters.", f"the whole interval is within the {margin}"),
        "undecided": (
            "Undecided.",
            f"the interval includes a limit of the {margin}" if unclear else "see the reasons below",
        ),
    }[gain.verdict]
    seeds = "One seed, so this compares two models only" if gain.seeds == 1 else f"Mean of {gain.seeds} seeds"
    what = (
        "lower test RMSE than the control (a deviation is the standard deviation of the test labels)"
        if rmse
        else f"of test {gain.unit.figure} over the control"
    )
    return headline, f"{seeds}: {amount(gain)} {what}, 95% interval {interval(gain)}; {why}."


def best_of(
    best: str, chosen: Estimate, control: Estimate, baselines: dict[str, Estimate], measure: str = "accuracy"
) -> str:
    """Names the best of transfer, control and baselines, and says so if it is not the transfer.

    Args:
        best: Name of the best one.
        chosen: Main figure of the transfer on the test split.
        control: Main figure of the control.
        baselines: Main figures of the baselines.
        measure: Name of the main figure; for RMSE lower is better.
    """
    if measure != "accuracy":
        return _best_by(best, {"chosen": chosen, "control": control, **baselines}, measure)
    scores = {"chosen": chosen, "control": control, **baselines}
    if best == "chosen":
        name, second = max(((n, f) for n, f in scores.items() if n != "chosen"), key=lambda item: item[1].value)
        return (
            f"the transfer, with {percent(chosen.value)} of the test images correct; "
            f"next is {NAMES.get(name, name)} with {percent(second.value)}."
        )
    return (
        f"not the transfer. {sentence(NAMES.get(best, best))[:-1]} has {percent(scores[best].value)} of the test "
        f"images correct, the transfer {percent(chosen.value)}."
    )


def _best_by(best: str, scores: dict[str, Estimate], measure: str) -> str:
    sign = -1 if measure == "rmse" else 1
    name = UNITS[measure].figure
    if best != "chosen":
        return (
            f"not the transfer. {sentence(NAMES.get(best, best))[:-1]} has {name} "
            f"{value(scores[best], measure)}, the transfer {value(scores['chosen'], measure)}."
        )
    second = max((n for n in scores if n != "chosen"), key=lambda n: sign * scores[n].value)
    return (
        f"the transfer, with {name} {value(scores['chosen'], measure)}; next is {NAMES.get(second, second)} "
        f"with {value(scores[second], measure)}."
    )
