"""Numbers and verdicts as a reader wants them: rounded sensibly, with intervals, in plain words."""

import math
import re
from collections.abc import Sequence

from graftline.evaluation.result import UNITS, Figure, Gain

MINUS = "\N{MINUS SIGN}"
NAMES = {
    "chosen": "the transfer",
    "control": "the control",
    "majority": "the majority class",
    "forest": "the random forest",
    "mean": "always the training mean",
    "prior": "each label's share of training",
}
SHORT = {
    "chosen": "transfer",
    "forest": "random forest",
    "majority": "majority class",
    "mean": "training mean",
    "prior": "label shares",
}
MEASURES = {
    "rmse": "RMSE",
    "mae": "Mean absolute error",
    "r2": "R\N{SUPERSCRIPT TWO}",
    "macro_ap": "Macro average precision",
    "micro_ap": "Micro average precision",
    "exact": "Images with every label right",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
    "loss": "Loss (cross-entropy)",
    "ece": "Calibration error (ECE)",
}
_PLAIN = ("loss", "rmse", "mae", "r2")
_KINDS = {
    "classification": ("class", "classes"),
    "regression": ("output", "outputs"),
    "multilabel": ("label", "labels"),
}


def percent(value: float | None, digits: int = 1) -> str:
    """0.9312 as `93.1%`; a share that is not quite 0 or 1 is not rounded to it."""
    if value is None or not math.isfinite(value):
        return "n/a"
    text = f"{100 * value:.{digits}f}"
    if value < 1 and float(text) == 100:
        return f">{100 - 10**-digits:.{digits}f}%"
    return f"{text}%".replace("-", MINUS)


def points(value: float | None, digits: int = 1) -> str:
    """A difference of two shares in points with its sign: 0.09 as `+9.0`."""
    if value is None or not math.isfinite(value):
        return "n/a"
    rounded = round(100 * value, digits)
    return f"{rounded or 0.0:+.{digits}f}".replace("-", MINUS) if rounded else f"{0:.{digits}f}"


def value(figure: Figure, name: str = "accuracy") -> str:
    """A figure without its interval: `93.1%`; losses and errors stay plain numbers."""
    return plain(figure.value) if name in _PLAIN else percent(figure.value)


def ends(figure: Figure, name: str = "accuracy") -> str:
    """A figure's interval: `(91.2 to 94.6)`; empty where it has none."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (plain(x) if name in _PLAIN else percent(x).rstrip("%") for x in (figure.low, figure.high))
    return f"({low} to {high})"


def figure(figure: Figure, name: str = "accuracy") -> str:
    """Both: `93.1% (91.2 to 94.6)`."""
    return f"{value(figure, name)} {ends(figure, name)}".rstrip()


def signed(gain: Gain, value: float) -> str:
    """A value of a gain in its unit, with its sign: `+9.0`; of RMSE `+0.090`."""
    digits = gain.unit.digits
    return points(value * gain.unit.factor / 100, digits)


def amount(gain: Gain) -> str:
    """A gain with its unit: `+9.0 points`, `+0.090 deviations`."""
    return f"{signed(gain, gain.value)} {gain.unit.name}"


def interval(gain: Gain) -> str:
    """A gain's 95% interval in its unit: `+7.0 to +11.0`."""
    return f"{signed(gain, gain.low)} to {signed(gain, gain.high)}"


def kinds(task: str, number: int) -> str:
    """How many things a task tells apart: `10 classes`, `1 output`, `4 labels`."""
    return plural(number, *_KINDS[task])


def kind(task: str) -> str:
    """What one of them is called."""
    return _KINDS[task][0]


def plain(value: float | None) -> str:
    """A number to three significant digits."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:#.3g}".rstrip(".").replace("-", MINUS)


def short(value: float) -> str:
    """A measured number such as milliseconds: two or three significant digits without closing zeros."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def size(count_of_bytes: int) -> str:
    """Bytes as `3.4 MB` or `12 kB`."""
    return f"{count_of_bytes / 1e6:.1f} MB" if count_of_bytes >= 1e6 else f"{max(1, round(count_of_bytes / 1e3))} kB"


def scientific(value: float) -> str:
    """A small number such as a difference of logits: `1.2e-06`, from 0.001 on plain, and 0 as `0`."""
    return f"{value:.1e}".replace("-", MINUS) if 0 < value < 0.00095 else f"{value:.2g}"


def count(value: int) -> str:
    """1234 as `1,234`."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Seconds as `0.4 s`, `12 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def visible(text: str) -> str:
    """Puts a mark in place of what would turn the direction of the text that follows, or hide in it."""
    return re.sub("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", "\N{REPLACEMENT CHARACTER}", text)


def sentence(text: str) -> str:
    """A note as a sentence: first letter large, a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


def listed(items: Sequence[object]) -> str:
    """`1, 2 and 7`."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last


def verdict(gain: Gain, delta: float) -> tuple[str, str]:
    """A gain's verdict as a headline and the sentence that carries the numbers.

    Args:
        gain: Of chosen over control.
        delta: Difference that counts, in 0..1.
    """
    rmse = gain.measure == "rmse"
    margin = f"margin of {delta:g} deviations" if rmse else f"{100 * delta:g}-point margin"
    unclear = gain.low <= delta and gain.high >= -delta
    headline, why = {
        "positive": ("Transfer helped.", f"all of the interval lies above the {margin}"),
        "negative": ("Transfer hurt.", f"all of the interval lies below the {margin}"),
        "none": ("Transfer made no difference that counts.", f"all of the interval lies within the {margin}"),
        "undecided": (
            "Undecided.",
            f"the interval reaches over the edge of the {margin}"
            if unclear
            else "other reasons, named below, leave it unsettled",
        ),
    }[gain.verdict]
    seeds = "One seed, so this is about these two models only" if gain.seeds == 1 else f"Mean of {gain.seeds} seeds"
    what = (
        "of test RMSE saved against the control (a deviation is the standard deviation of the test labels)"
        if rmse
        else f"of test {gain.unit.figure} against the control"
    )
    return headline, f"{seeds}: {amount(gain)} {what}, 95% interval {interval(gain)}; {why}."


def best_of(best: str, chosen: Figure, control: Figure, baselines: dict[str, Figure], measure: str = "accuracy") -> str:
    """Names the best of transfer, control and baselines, plainly when it is not the transfer.

    Args:
        best: Its name.
        chosen: The transfer's main figure on test.
        control: The control's.
        baselines: Theirs.
        measure: Which figure it is; of RMSE less is better.
    """
    if measure != "accuracy":
        return _best_by(best, {"chosen": chosen, "control": control, **baselines}, measure)
    scores = {"chosen": chosen, "control": control, **baselines}
    if best == "chosen":
        name, second = max(((n, f) for n, f in scores.items() if n != "chosen"), key=lambda item: item[1].value)
        return (
            f"the transfer, with {percent(chosen.value)} of the test images right; "
            f"next is {NAMES.get(name, name)} with {percent(second.value)}."
        )
    return (
        f"not the transfer. {sentence(NAMES.get(best, best))[:-1]} has {percent(scores[best].value)} of the test "
        f"images right, the transfer {percent(chosen.value)}."
    )


def _best_by(best: str, scores: dict[str, Figure], measure: str) -> str:
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
