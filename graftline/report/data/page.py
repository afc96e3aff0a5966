"""The data page: what a person should see of a dataset before trusting it, as HTML that needs nothing else.

Its work and size are bounded whatever the dataset: of many classes the largest and the smallest are drawn.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from graftline.config import DEFAULT_TASK
from graftline.data import number_checks
from graftline.data.class_checks import FEW
from graftline.data.dataset import SPLIT_NAMES, DatasetManifest, Dropped, SplitName, StoredSample
from graftline.data.images.stored_images import Images
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.evaluation.tasks import TASKS
from graftline.report import wording
from graftline.report.data.pictures import EACH, Gallery, Picture, first_rows, galleries, some

_LARGEST, _SMALLEST = 30, 10  # classes drawn
_LISTED = 50  # dropped files, warnings, notes
_REASONS = 12
_UNLABELLED = 30  # samples where there are no classes
_STEPS = 200  # of the curve over all classes
_NAME, _FILE, _TEXT = 60, 160, 900  # characters
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*")
_MARKED = re.compile("(&#39;.*?&#39;)|`([^`]*)`")


@dataclass(frozen=True)
class BalanceRow:
    """A class in the chart."""

    label: str
    counts: dict[SplitName, int]
    shares: dict[SplitName, float]
    """Per cent of the chart's width."""
    few: bool


@dataclass(frozen=True)
class Balance:
    """How many images the classes have."""

    rows: list[BalanceRow]
    """The largest class first."""
    left_out: int
    """Classes between the largest and the smallest that are not drawn."""
    sizes: list[int]
    """Training images of all classes, falling."""
    few: int
    """Classes with fewer than `FEW`."""
    curve: str
    """All sizes as an SVG path in a box of 100 x 100; empty where all classes are drawn."""

    noun: str = "class"

    @property
    def spread(self) -> str:
        """The largest against the smallest class, as a sentence."""
        most, least = self.sizes[0], self.sizes[-1]
        if most == least:
            return f"Every {self.noun} has {wording.plural(most, 'training image')}."
        ratio = f" ({most / least:,.{int(most < 10 * least)}f} to 1)" if least else ""
        return f"The largest {self.noun} has {most:,} training images, the smallest {least:,}{ratio}."


@dataclass(frozen=True)
class Reason:
    """Why files were left out."""

    why: str
    count: int
    files: list[Dropped]
    """Some of them."""


def page(manifest: DatasetManifest, images: Images, samples: Sequence[StoredSample]) -> str:
    """Renders the page; the same dataset gives the same text.

    Args:
        manifest: Its `files` may be empty still.
        images: (N, C, H, W).
        samples: In the order of the images: train, val, test, each by digest.

    Returns:
        HTML; all that came from outside is escaped.
    """
    spreads = number_checks.spreads(manifest, samples) if LABEL_TYPES[manifest.task].is_numeric else []
    balance = _balance(manifest) if manifest.classes and not spreads else None
    drawn: dict[str, Gallery] = {}
    plain: list[Picture] = []
    if spreads:
        plain = some(images, samples, number_checks.rows_by_value(manifest, samples, _UNLABELLED))
    elif balance:
        drawn = galleries(
            images, samples, first_rows(samples, [row.label for row in balance.rows], LABEL_TYPES[manifest.task])
        )
    elif manifest.task == UNLABELED:
        plain = some(images, samples, range(min(_UNLABELLED, len(samples))))
    return (
        _environment()
        .get_template("page.html")
        .render(
            data=manifest,
            css=_css(),
            balance=balance,
            galleries=drawn,
            plain=plain,
            spreads=spreads,
            nouns=_nouns(manifest.task),
            reasons=_reasons(manifest.dropped),
            few=FEW,
            each=EACH,
            largest=_LARGEST,
            listed=_LISTED,
            name=_NAME,
            file=_FILE,
            plural=wording.plural,
            count=wording.count,
        )
    )


def _nouns(task: str) -> tuple[str, str]:
    """What the manifest's classes are called, one and many."""
    return TASKS.get(task, TASKS[DEFAULT_TASK]).words.nouns


def _balance(manifest: DatasetManifest) -> Balance:
    counts = {label: {**dict.fromkeys(SPLIT_NAMES, 0), **manifest.counts.get(label, {})} for label in manifest.classes}
    order = sorted(manifest.classes, key=lambda label: -counts[label]["train"])
    shown = order if len(order) <= _LARGEST + _SMALLEST else [*order[:_LARGEST], *order[-_SMALLEST:]]
    widest = max(1, *(sum(counts[label].values()) for label in shown))
    sizes = [counts[label]["train"] for label in order]
    return Balance(
        [_row(label, counts[label], widest) for label in shown],
        len(order) - len(shown),
        sizes,
        sum(size < FEW for size in sizes),
        _curve(sizes) if len(shown) < len(order) else "",
        _nouns(manifest.task)[0],
    )


def _row(label: str, counts: Mapping[SplitName, int], widest: int) -> BalanceRow:
    return BalanceRow(
        label,
        dict(counts),
        {split: round(100 * number / widest, 2) for split, number in counts.items()},
        counts["train"] < FEW,
    )


def _curve(sizes: Sequence[int]) -> str:
    steps = min(_STEPS, len(sizes))
    heights = [100 - 100 * sizes[step * len(sizes) // steps] / max(1, sizes[0]) for step in range(steps)]
    return (
        "M0 100"
        + "".join(f"V{height:.4g}H{100 * (step + 1) / steps:.4g}" for step, height in enumerate(heights))
        + "V100Z"
    )


def _reasons(dropped: Sequence[Dropped]) -> list[Reason]:
    """Dropped files by reason, the most frequent first; reasons that differ in numbers and names alone are one."""
    groups: dict[str, list[Dropped]] = {}
    for item in dropped:
        groups.setdefault(_VARYING.sub("0", _head(item.why)), []).append(item)
    order = sorted(groups.values(), key=lambda group: -len(group))
    rest = [item for group in order[_REASONS:] for item in group]
    each = max(1, _LISTED // max(1, min(len(order), _REASONS + 1)))
    found = [
        Reason(_common([_head(item.why) for item in group]), len(group), group[:each]) for group in order[:_REASONS]
    ]
    return [*found, Reason("other reasons", len(rest), rest[:each])] if rest else found


def _head(why: str) -> str:
    return why.split(":")[0].strip()


def _common(heads: Sequence[str]) -> str:
    """A text for all, an ellipsis where its numbers and names differ."""
    columns = iter([set(column) for column in zip(*map(_VARYING.findall, heads), strict=True)])
    return _VARYING.sub(lambda found: found[0] if len(next(columns)) == 1 else "\N{HORIZONTAL ELLIPSIS}", heads[0])


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("graftline.report.data", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(told=_told, cut=_cut)
    return made


def _visible(value: Any) -> Any:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", wording.visible(value)) if type(value) is str else value


def _cut(text: str, most: int) -> str:
    """A text of at most so many characters, the end kept, where files' names tell most; never nothing at all."""
    half = most // 2
    text = text if len(text) <= most else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"
    return text if text.strip() else "(no name)"


def _told(text: str) -> Markup:
    """A warning or note as a sentence: what it quotes keeps its own direction, what stands in `ticks` is code."""
    plain = str(escape(_visible(wording.sentence(_cut(text, _TEXT)))))
    return Markup(_MARKED.sub(lambda part: f"<bdi>{part[1]}</bdi>" if part[1] else f"<code>{part[2]}</code>", plain))


def _css() -> Markup:
    return Markup(resources.files("graftline.report").joinpath("style.css").read_text(encoding="utf-8"))
