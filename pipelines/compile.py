"""DAGs and components as the YAML that a cluster takes."""

import copy
from pathlib import Path

from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from graftline.components import COMPONENTS
from graftline.components.face import IMAGE
from graftline.pipelines import PIPELINES
from graftline.pipelines.placement import GPU_IMAGE, PROFILES, Placement
from graftline.runtime.errors import RefusedError


def compile_pipeline(
    name: str,
    *,
    profile: str = "none",
    out: Path,
    image: str | None = None,
    training_image: str | None = None,
    fan_out: bool = False,
    tournament: bool = False,
) -> Path:
    """Writes a DAG as KFP YAML: one document for the DAG, one for its placement, both of which must travel.

    Args:
        name: From `PIPELINES`.
        profile: From `PROFILES`.
        out: Folder to write into; made if missing.
        image: Image that the steps run in, best named by its digest; by default `graftline-python:cpu`.
        training_image: Image of the steps that train, where it is another one; `graftline-python:gpu` where no image
            is named and the profile has accelerators.
        fan_out: Whether each task's raw data are decoded in as many pods as the run's `shards` says.
        tournament: Whether the DAG has the rungs of a tournament.

    Returns:
        `out/<name>.yaml`, or `out/<name>-tournament.yaml`. The same arguments give the same bytes.

    Raises:
        RefusedError: No DAG or profile of this name.
    """
    for what, value, table in (("pipeline", name, PIPELINES), ("profile", profile, PROFILES)):
        if value not in table:
            raise RefusedError(f"{what} {value!r} is not one of {', '.join(table)}")
    if image is None and PROFILES[profile].count:
        training_image = training_image or GPU_IMAGE
    placement = Placement(image or IMAGE, PROFILES[profile], training_image)
    path = out / f"{name}{'-tournament' if tournament else ''}.yaml"
    return _write(PIPELINES[name](placement, fan_out, tournament), path)


def compile_components(out: Path, *, image: str | None = None) -> list[Path]:
    """Writes each component as a YAML file of its own, `out/<name>.yaml`, for DAGs of one's own.

    Args:
        out: Folder to write into; made if missing.
        image: Image that the components run in; by default `graftline-python:cpu`.

    Returns:
        The files, in the order of `COMPONENTS`.
    """
    return [
        _write(_in_image(component, image or IMAGE), out / f"{name}.yaml") for name, component in COMPONENTS.items()
    ]


def _in_image(component: BaseComponent, image: str) -> BaseComponent:
    other = copy.copy(component)
    other.component_spec = copy.deepcopy(component.component_spec)
    other.component_spec.implementation.container.image = image
    return other


def _write(component: BaseComponent, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(component, package_path=str(path))
    text = path.read_text(encoding="utf-8")
    if not text.isascii():
        raise AssertionError(f"{path}: holds {[c for c in text if not c.isascii()][:3]}; some KFP backends refuse it")
    return path
