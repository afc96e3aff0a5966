"""The model card of a release, as Markdown. Class names and notes are untrusted and are escaped."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graftline.data.dataset import DatasetManifest
from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.tasks import TASKS
from graftline.release.artifact import ReleaseManifest
from graftline.report import wording

_MAX_CLASSES = 20  # listed by name
_FEW = 30  # test images per class, below which per-class figures are imprecise


def model_card(
    manifest: ReleaseManifest, data: DatasetManifest, *, delta: float, converged: bool | None, samples: int
) -> str:
    """Renders MODEL_CARD.md.

    Args:
        manifest: Manifest of the release, not yet written.
        data: Manifest of the target dataset.
        delta: Smallest difference in accuracy that matters.
        converged: Whether the control converged; None if unknown.
        samples: Number of test images stored in the release.
    """
    headline, sentence = wording.verdict(manifest.gain, delta)
    classes, main = manifest.facts.classes, manifest.gain.measure
    environment = Environment(
        loader=PackageLoader("graftline.report", "."),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_plain_text,
        autoescape=False,
    )
    environment.filters["bare"] = _code
    functions: dict[str, Any] = {
        name: getattr(wording, name)
        for name in ("percent", "plain", "scientific", "count", "plural", "figure", "kinds")
    }
    text = environment.get_template("model_card.md").render(
        manifest=manifest,
        task_kind=TASKS[manifest.facts.task],
        measures=wording.metric_names(manifest.test),
        headline=headline,
        sentence=sentence,
        best=wording.best_of(manifest.best, manifest.test[main], manifest.control_test[main], manifest.baselines, main),
        shown_classes=", ".join(classes[:_MAX_CLASSES]),
        more_classes=max(0, len(classes) - _MAX_CLASSES),
        sizes=data.sizes,
        dropped=len(data.dropped),
        notes=data.notes,
        samples=samples,
        limits=_limits(manifest, converged),
        **functions,
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _limits(manifest: ReleaseManifest, converged: bool | None) -> list[str]:
    limits = []
    each = manifest.examples / len(manifest.facts.classes)
    if LABEL_TYPES[manifest.facts.task].is_class and each < _FEW:
        limits.append(f"Only {each:.0f} test images per class on average: per-class figures are imprecise.")
    if converged is False:
        limits.append("The control stopped at its limit while still improving, so the gain is at best an upper bound.")
    if manifest.gain.seeds == 1:
        limits.append("One seed: the comparison is between two trained models, not between two training methods.")
    if manifest.best != "chosen":
        limits.append(f"On this test split {wording.NAMES[manifest.best]} is better than this model.")
    limits.append(
        "Test and training images come from the same data. On other images (another camera, place or season) the "
        "model may be worse; this was not measured."
    )
    limits.append("Undetected near duplicates between training and test images would make the results too optimistic.")
    limits.append(f"INT8: {manifest.int8.why}." if not manifest.int8.kept else "Weights are 8-bit.")
    return limits


def _plain_text(value: Any) -> Any:
    """Escapes the characters that have a meaning in Markdown or HTML."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return re.sub(r"([\\`*_\[\]<>|#&!])", r"\\\1", " ".join(wording.visible(value).splitlines()))


def _code(value: str) -> Markup:
    return Markup(re.sub(r"[^A-Za-z0-9:._+-]", "", value))
