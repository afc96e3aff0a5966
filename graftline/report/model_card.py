"""The model card of a release, as Markdown. Class names and notes come from outside and stay text."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graftline.data.dataset import DatasetManifest
from graftline.release.artifact import ReleaseManifest
from graftline.report import wording

_SHOWN = 20
_FEW = 30  # test images a class, below which a class's own figures say little


def model_card(
    manifest: ReleaseManifest, data: DatasetManifest, *, delta: float, converged: bool | None, samples: int
) -> str:
    """Renders MODEL_CARD.md.

    Args:
        manifest: The release's manifest, not yet written.
        data: The target's dataset.
        delta: Difference in accuracy that counts.
        converged: Whether the control stopped by itself.
        samples: Test images stored in the release.
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
        measures=wording.MEASURES,
        headline=headline,
        sentence=sentence,
        best=wording.best_of(manifest.best, manifest.test[main], manifest.control_test[main], manifest.baselines, main),
        shown_classes=", ".join(classes[:_SHOWN]),
        more_classes=max(0, len(classes) - _SHOWN),
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
    if manifest.facts.task == "classification" and each < _FEW:
        limits.append(f"Only {each:.0f} test images a class on average: figures of single classes are rough.")
    if converged is False:
        limits.append("The control stopped at its cap while still improving, so the gain is an upper bound at best.")
    if manifest.gain.seeds == 1:
        limits.append("One seed: the comparison is between two trained models, not between two ways of training.")
    if manifest.best != "chosen":
        limits.append(f"On this test split {wording.NAMES[manifest.best]} is better than this model.")
    limits.append(
        "The test images come from where the training images came from; on images from elsewhere (another "
        "camera, place or season) it may be worse, and nothing here measured by how much."
    )
    limits.append("Near duplicates between training and test images, if the data holds any, flatter the figures.")
    limits.append(f"INT8: {manifest.int8.why}." if not manifest.int8.kept else "Weights are 8-bit.")
    return limits


def _plain_text(value: Any) -> Any:
    """Takes Markdown's and HTML's own signs out of what is printed."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return re.sub(r"([\\`*_\[\]<>|#&!])", r"\\\1", " ".join(wording.visible(value).splitlines()))


def _code(value: str) -> Markup:
    return Markup(re.sub(r"[^A-Za-z0-9:._+-]", "", value))
