"""The data page: a self-contained HTML summary of a dataset, with warnings, sizes, and samples.

Time and size are bounded for any dataset: of many classes, only the largest and the smallest are shown.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from graftline.config import DEFAULT_TASK
from graftline.data.class_warnings import MIN_IMAGES
from graftline.data.dataset import DatasetManifest, StoredSample
from graftline.data.images.stored_images import Images
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.evaluation.tasks import TASKS
from graftline.report import wording
from graftline.report.data.class_balance import N_LARGEST, class_balance
from graftline.report.data.dropped_files import group_by_reason
from graftline.report.data.number_spread import indices_by_value, number_spreads
from graftline.report.data.thumbnails import (
    SAMPLES_PER_CLASS,
    ClassThumbnails,
    Thumbnail,
    draw_classes,
    draw_images,
    first_of_classes,
)

_MAX_MESSAGES = 50
_MAX_IMAGES = 30  # of a dataset without classes
_MAX_NAME, _MAX_FILE_NAME, _MAX_TEXT = 60, 160, 900  # characters
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MARKED = re.compile("(&#39;.*?&#39;)|`([^`]*)`")


def render_data_page(manifest: DatasetManifest, images: Images, samples: Sequence[StoredSample]) -> str:
    """Renders the page; equal datasets give equal text.

    Args:
        manifest: The manifest; its `files` may be empty.
        images: (N, C, H, W).
        samples: N samples in the order of the images: train, val, test, each sorted by digest.

    Returns:
        HTML in which all external text is escaped.
    """
    nouns, label_type = _nouns(manifest.task), LABEL_TYPES[manifest.task]
    spreads = number_spreads(manifest, samples) if label_type.is_numeric else []
    balance = class_balance(manifest, nouns[0]) if manifest.classes and not spreads else None
    class_thumbnails: dict[str, ClassThumbnails] = {}
    thumbnails: list[Thumbnail] = []
    if spreads:
        thumbnails = draw_images(images, samples, indices_by_value(manifest, samples, _MAX_IMAGES))
    elif balance:
        labels = [bar.label for bar in balance.bars]
        indices = first_of_classes(samples, labels, label_type)
        class_thumbnails = draw_classes(images, samples, indices)
    elif manifest.task == UNLABELED:
        thumbnails = draw_images(images, samples, range(min(_MAX_IMAGES, len(samples))))
    return (
        _environment()
        .get_template("page.html")
        .render(
            data=manifest,
            css=_css(),
            balance=balance,
            class_thumbnails=class_thumbnails,
            thumbnails=thumbnails,
            spreads=spreads,
            nouns=nouns,
            reasons=group_by_reason(manifest.dropped),
            min_images=MIN_IMAGES,
            samples_per_class=SAMPLES_PER_CLASS,
            n_largest=N_LARGEST,
            max_messages=_MAX_MESSAGES,
            max_name=_MAX_NAME,
            max_file_name=_MAX_FILE_NAME,
            plural=wording.plural,
            count=wording.count,
        )
    )


def _nouns(task: str) -> tuple[str, str]:
    """Returns what the manifest's classes are called, singular and plural."""
    return TASKS.get(task, TASKS[DEFAULT_TASK]).words.nouns


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("graftline.report.data", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_make_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(message=_format_message, shorten=_shorten)
    return environment


def _make_visible(value: Any) -> Any:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", wording.visible(value)) if type(value) is str else value


def _shorten(text: str, maximum: int) -> str:
    """Shortens a text in the middle, because the end of a file name matters most; never returns blank text."""
    half = maximum // 2
    text = text if len(text) <= maximum else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"
    return text if text.strip() else "(no name)"


def _format_message(text: str) -> Markup:
    """Formats a warning or note as a sentence; quoted text keeps its own direction, text in backticks becomes code."""
    html = str(escape(_make_visible(wording.sentence(_shorten(text, _MAX_TEXT)))))
    return Markup(_MARKED.sub(lambda part: f"<bdi>{part[1]}</bdi>" if part[1] else f"<code>{part[2]}</code>", html))


def _css() -> Markup:
    return Markup(resources.files("graftline.report").joinpath("style.css").read_text(encoding="utf-8"))
