"""Where kfp.local starts the steps of a run: as processes of this machine, or in containers."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from kfp import local

from graftline.components.face import IMAGE
from graftline.config import Config
from graftline.pipelines.local.cache import library_digest
from graftline.pipelines.local.watch import StepState, Watch
from graftline.runtime.errors import RefusedError
from graftline.runtime.events import RUN_DIR

RunnerName = Literal["subprocess", "docker"]
_LABEL = "graftline.run"
_PASSED_ON = ("GOOGLE_", "STORAGE_EMULATOR_", "GRAFTLINE_", "OMP_", "TORCH_")


@dataclass(frozen=True)
class Runner:
    """A kfp.local runner, and what a run needs to know of it."""

    kfp: Any
    """kfp.local.SubprocessRunner or kfp.local.DockerRunner."""
    image: str
    salt: str
    """Joins the cache key: what the steps' code is, where the image's name does not say it."""
    run: str
    """Names the run's containers."""
    stopped: set[str] = field(default_factory=set)
    """Steps that were asked to end."""

    def stop(self, watch: Watch) -> None:
        """Asks each running step to end, once: it leaves a `preempted` marker. To be called until the run is over."""
        for step in watch.of("running"):
            if step.pid and step.name not in self.stopped:  # before it has a pid it is still starting
                self.stopped.add(step.name)
                self._end(step)

    def _end(self, step: StepState) -> None:
        if isinstance(self.kfp, local.SubprocessRunner):
            with suppress(ProcessLookupError):
                os.kill(step.pid, signal.SIGTERM)
            return
        import docker

        for container in docker.from_env().containers.list(filters={"label": f"{_LABEL}={self.run}"}):
            with suppress(docker.errors.NotFound):
                container.kill("SIGTERM")


def runner_of(name: RunnerName, config: Config, *, out: Path, image: str | None) -> Runner:
    """Makes the runner that a run asks for.

    Args:
        name: `subprocess`, or `docker` for the container images.
        config: The run's config; its local paths are mounted into the containers, data read-only.
        out: The run's folder.
        image: For `docker`; by default `graftline-python:cpu`.

    Raises:
        RefusedError: An unknown runner, no docker daemon, or no such image.
    """
    if name == "subprocess":
        return Runner(local.SubprocessRunner(use_venv=False), f"python-graftline:{library_digest()}", "", "")
    if name != "docker":
        raise RefusedError(f"runner {name!r} is not one of subprocess, docker")
    if find_spec("docker") is None:
        raise RefusedError(
            "runner docker: the Python package `docker` is not installed; install graftline[docker], "
            "or use the runner subprocess"
        )
    image = image or IMAGE
    kfp_runner = local.DockerRunner(
        mounts=_mounts(config, out),
        environment=_environment(os.environ, out),
        labels={_LABEL: str(out)},
        user=f"{os.getuid()}:{os.getgid()}",
        shm_size="2g",
    )
    return Runner(kfp_runner, image, _image_id(image), str(out))


def _image_id(image: str) -> str:
    import docker

    try:
        return str(docker.from_env().images.get(image).id)
    except docker.errors.ImageNotFound:
        raise RefusedError(f"image {image!r} is not on this machine; build it with `make images` or pull it") from None
    except docker.errors.DockerException as error:
        raise RefusedError(f"no docker daemon answers ({error}); start it, or use the runner subprocess") from None


def _environment(own: Mapping[str, str], out: Path) -> dict[str, str]:
    passed = {name: value for name, value in own.items() if name.startswith(_PASSED_ON)}
    return passed | {RUN_DIR: str(out), "HOME": "/tmp"}  # any user id may run the image, and needs a home


def _mounts(config: Config, out: Path) -> list[Any]:
    """Mounts each local path of the config where it is here, so that configs mean the same inside."""
    from docker.types import Mount

    places = [
        config.target.data,
        config.target.ledger,
        *(place for source in config.source for place in (source.data, source.init, source.ledger)),
    ]
    read = {str(Path(place).absolute()) for place in places if place and Path(place).exists()}
    written = [str(out)]
    if config.store and "://" not in config.store:
        Path(config.store).mkdir(parents=True, exist_ok=True)
        written.append(str(Path(config.store).absolute()))
    return [
        *(Mount(target=path, source=path, type="bind", read_only=True) for path in sorted(read)),
        *(Mount(target=path, source=path, type="bind") for path in written),
    ]
