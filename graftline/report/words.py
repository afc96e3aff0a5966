"""Numbers and verdicts as a reader wants them: rounded sensibly, with intervals, in plain words."""

import math
import re
from collections.abc import Sequence

from graftline.evaluation import Figure, Gain

MINUS = "\N{MINUS SIGN}"
NAMES = {"chosen": "the transfer", "control": "the control", "majority": "the majority class",
         "forest": "the random forest"}
MEASURES = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_precision": "Macro precision",
            "macro_recall": "Macro recall", "macro_f1": "Macro F1", "loss": "Loss (cross-entropy)",
            "ece": "Calibration error (ECE)"}
_LOSSES = ("loss",)


def percent(value: float | None, digits: int = 1) -> str:
    """0.9312 as `93.1%`; a share that is not quite 0 or 1 is not rounded to it."""
    if value is None or not math.isfinite(value):
        return "n/a"
    text = f"{100 * value:.{digits}f}"
    if value < 1 and float(text) == 100:
        return f">{100 - 10 ** -digits:.{digits}f}%"
    return f"{text}%".replace("-", MINUS)


def points(value: float | None, digits: int = 1) -> str:
    """A difference of two shares in points with its sign: 0.09 as `+9.0`."""
    if value is None or not math.isfinite(value):
        return "n/a"
    rounded = round(100 * value, digits)
    return f"{rounded or 0.0:+.{digits}f}".replace("-", MINUS) if rounded else f"{0:.{digits}f}"


def value(figure: Figure, name: str = "accuracy") -> str:
    """A figure without its interval: `93.1%`; losses stay plain numbers."""
    return plain(figure.value) if name in _LOSSES else percent(figure.value)


def ends(figure: Figure, name: str = "accuracy") -> str:
    """A figure's interval: `(91.2 to 94.6)`; empty where it has none."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (plain(x) if name in _LOSSES else percent(x).rstrip("%") for x in (figure.low, figure.high))
    return f"({low} to {high})"


def figure(figure: Figure, name: str = "accuracy") -> str:
    """Both: `93.1% (91.2 to 94.6)`."""
    return f"{value(figure, name)} {ends(figure, name)}".rstrip()


def interval(gain: Gain) -> str:
    """A gain's 95% interval in points: `+7.0 to +11.0`."""
    return f"{points(gain.low)} to {points(gain.high)}"


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
        delta: Difference in accuracy that counts, in 0..1.
    """
    margin = f"{100 * delta:g}-point margin"
    unclear = gain.low <= delta and gain.high >= -delta
    headline, why = {
        "positive": ("Transfer helped.", f"all of the interval lies above the {margin}"),
        "negative": ("Transfer hurt.", f"all of the interval lies below the {margin}"),
        "none": ("Transfer made no difference that counts.", f"all of the interval lies within the {margin}"),
        "undecided": ("Undecided.", f"the interval reaches over the edge of the {margin}" if unclear
                      else "other reasons, named below, leave it unsettled"),
    }[gain.verdict]
    seeds = ("One seed, so this is about these two models only" if gain.seeds == 1 else f"Mean of {gain.seeds} seeds")
    return headline, (f"{seeds}: {points(gain.value)} points of test accuracy against the control, "
                      f"95% interval {interval(gain)}; {why}.")


def best_of(best: str, chosen: Figure, control: Figure, baselines: dict[str, Figure]) -> str:
    """Names the best of transfer, control and baselines by accuracy, plainly when it is not the transfer."""
    scores = {"chosen": chosen, "control": control, **baselines}
    if best == "chosen":
        name, second = max(((n, f) for n, f in scores.items() if n != "chosen"), key=lambda item: item[1].value)
        return (f"the transfer, with {percent(chosen.value)} of the test images right; "
                f"next is {NAMES.get(name, name)} with {percent(second.value)}.")
    return (f"not the transfer. {sentence(NAMES.get(best, best))[:-1]} has {percent(scores[best].value)} of the test "
            f"images right, the transfer {percent(chosen.value)}.")
