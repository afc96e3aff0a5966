"""Compiles pipelines and components to the YAML that KFP runs."""

import copy
from pathlib import Path

from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from graftline.components import COMPONENTS
from graftline.components.decorator import IMAGE
from graftline.pipelines import PIPELINES
from graftline.pipelines.placement import GPU_IMAGE, PROFILES, Placement
from graftline.pipelines.record import DEFAULT_VARIANT, Variant
from graftline.runtime.errors import RefusedError


def compile_pipeline(
    name: str,
    *,
    profile: str = "none",
    out: Path,
    image: str | None = None,
    training_image: str | None = None,
    variant: Variant = DEFAULT_VARIANT,
) -> Path:
    """Writes a pipeline as KFP YAML: one document for the DAG and one for its nodes; KFP needs both.

    Args:
        name: A key of `PIPELINES`.
        profile: A key of `PROFILES`.
        out: Folder to write into; created if missing.
        image: Image of the steps, preferably with its digest; by default `graftline-python:cpu`.
        training_image: Image of the training steps, if it differs; by default `graftline-python:gpu` if `image` is
            not given and the profile has accelerators.
        variant: One of the pipeline's variants.

    Returns:
        `out/<name>.yaml`, or `out/<name>-tournament.yaml`. The same arguments give the same bytes.

    Raises:
        RefusedError: No pipeline, profile or variant of this name.
    """
    for kind, value, table in (("pipeline", name, PIPELINES), ("profile", profile, PROFILES)):
        if value not in table:
            raise RefusedError(f"{kind} {value!r} is not one of {', '.join(table)}")
    if variant not in PIPELINES[name].variants:
        raise RefusedError(f"pipeline {name!r} has no {variant}")
    if image is None and PROFILES[profile].count:
        training_image = training_image or GPU_IMAGE
    placement = Placement(image or IMAGE, PROFILES[profile], training_image)
    path = out / f"{name}{'-tournament' if variant.tournament else ''}.yaml"
    return _write(PIPELINES[name].build(placement, variant), path)


def compile_components(out: Path, *, image: str | None = None) -> list[Path]:
    """Writes each component as its own YAML file, `out/<name>.yaml`, for custom DAGs.

    Args:
        out: Folder to write into; created if missing.
        image: Image of the components; by default `graftline-python:cpu`.

    Returns:
        The files, in the order of `COMPONENTS`.
    """
    return [
        _write(_with_image(component, image or IMAGE), out / f"{name}.yaml") for name, component in COMPONENTS.items()
    ]


def _with_image(component: BaseComponent, image: str) -> BaseComponent:
    other = copy.copy(component)
    other.component_spec = copy.deepcopy(component.component_spec)
    other.component_spec.implementation.container.image = image
    return other


def _write(component: BaseComponent, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(component, package_path=str(path))
    text = path.read_text(encoding="utf-8")
    if not text.isascii():
        raise AssertionError(
            f"{path}: contains {[c for c in text if not c.isascii()][:3]}; some KFP backends reject non-ASCII text"
        )
    return path
