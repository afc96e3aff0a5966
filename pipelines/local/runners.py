"""How kfp.local starts the steps of a run: as processes of this machine, or in containers."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from kfp import local

from graftline.components.decorator import IMAGE
from graftline.config import Config
from graftline.pipelines.local.cache import library_digest
from graftline.pipelines.local.monitor import RunMonitor
from graftline.runtime.cache_location import CHECKPOINTS, NOWHERE, cache_home
from graftline.runtime.errors import RefusedError
from graftline.runtime.events import RUN_DIR

RunnerName = Literal["subprocess", "docker"]
_LABEL = "graftline.run"
_PASSED = ("GOOGLE_", "STORAGE_EMULATOR_", "GRAFTLINE_", "OMP_", "TORCH_")
GRACE = 30.0
"""Seconds that a container has to save its state before it is killed; Kubernetes gives pods the same by default."""


@dataclass(frozen=True)
class Runner(ABC):
    """A kfp.local runner, and what a run needs to know about it."""

    kfp: Any
    """kfp.local.SubprocessRunner or kfp.local.DockerRunner."""
    image: str
    salt: str
    """Part of every cache key: the version of the steps' code, where the image's name does not contain it."""

    @abstractmethod
    def stop(self, monitor: RunMonitor) -> None:
        """Sends SIGTERM once to each running step, which saves its state; call it until the run is over."""

    @abstractmethod
    def kill(self) -> None:
        """Ends the steps that would otherwise outlive this process."""


@dataclass(frozen=True)
class ProcessRunner(Runner):
    """Starts each step as a process of this machine."""

    _stopped: set[str] = field(default_factory=set)

    def stop(self, monitor: RunMonitor) -> None:
        """Sends SIGTERM once to each running step."""
        for step in monitor.in_state("running"):
            if step.pid and step.name not in self._stopped:  # without a pid, its process is still starting
                self._stopped.add(step.name)
                with suppress(ProcessLookupError):
                    os.kill(step.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Does nothing: the processes receive the terminal's Ctrl-C themselves."""


@dataclass(frozen=True)
class DockerRunner(Runner):
    """Starts each step in a container. The containers of a run have its folder as their label."""

    out: Path
    _stopped: dict[str, float] = field(default_factory=dict)
    """Container id to the time of its SIGTERM, in seconds of the monotonic clock."""

    def stop(self, monitor: RunMonitor) -> None:
        """Sends SIGTERM once to each of the run's containers, and kills those that are still running after `GRACE`."""
        for container in self._containers():
            if container.id not in self._stopped:
                self._stopped[container.id] = time.monotonic()
                # Not to PID 1: it is KFP's shell, which ignores SIGTERM and does not pass it to Python.
                with _ended_is_fine():
                    container.exec_run(["sh", "-c", "kill -s TERM -- -1"])
            elif time.monotonic() - self._stopped[container.id] > GRACE:
                with _ended_is_fine():
                    container.kill()

    def kill(self) -> None:
        """Kills the run's containers, which would otherwise outlive this process."""
        for container in self._containers():
            with _ended_is_fine():
                container.kill()

    def _containers(self) -> list[Any]:
        import docker

        try:
            containers: list[Any] = docker.from_env().containers.list(filters={"label": f"{_LABEL}={self.out}"})
        except docker.errors.DockerException:  # the next call lists them again
            return []
        return containers


def make_runner(name: RunnerName, config: Config, *, out: Path, image: str | None) -> Runner:
    """Creates the runner of a run.

    Args:
        name: `subprocess`, or `docker` for the container images.
        config: The run's config; its local paths are mounted into the containers, data read-only.
        out: The run's folder.
        image: Image for `docker`; by default `graftline-python:cpu`.

    Raises:
        RefusedError: An unknown runner, no docker daemon, or no such image.
    """
    if name == "subprocess":
        return ProcessRunner(local.SubprocessRunner(use_venv=False), f"python-graftline:{library_digest()}", "")
    if name != "docker":
        raise RefusedError(f"runner {name!r} is not one of subprocess, docker")
    if find_spec("docker") is None:
        raise RefusedError(
            "runner docker: the Python package `docker` is not installed; install graftline[docker], "
            "or use the runner subprocess"
        )
    image = image or IMAGE
    states = os.environ.get(CHECKPOINTS) or str(cache_home() / "checkpoints")
    states = str(Path(states).absolute()) if _is_local(states) else states
    kfp_runner = local.DockerRunner(
        mounts=_mounts(config, out, states),
        environment=_environment(os.environ, out, states),
        labels={_LABEL: str(out)},
        user=f"{os.getuid()}:{os.getgid()}",
        shm_size="2g",
    )
    return DockerRunner(kfp_runner, image, _image_id(image), out)


def _ended_is_fine() -> suppress:
    """Returns a context that ignores docker's errors about a container that has just ended."""
    import docker

    return suppress(docker.errors.NotFound, docker.errors.APIError)


def _image_id(image: str) -> str:
    import docker

    try:
        return str(docker.from_env().images.get(image).id)
    except docker.errors.ImageNotFound:
        raise RefusedError(f"image {image!r} is not on this machine; build it with `make images` or pull it") from None
    except docker.errors.DockerException as error:
        raise RefusedError(
            f"the docker daemon does not respond ({error}); start it, or use the runner subprocess"
        ) from None


def _is_local(path: str) -> bool:
    return "://" not in path and path != NOWHERE


def _environment(own: Mapping[str, str], out: Path, states: str) -> dict[str, str]:
    passed = {name: value for name, value in own.items() if name.startswith(_PASSED)}
    # HOME: the container runs as this user, who has no home folder in the image.
    return passed | {RUN_DIR: str(out), CHECKPOINTS: states, "HOME": "/tmp"}


def _mounts(config: Config, out: Path, states: str) -> list[Any]:
    """Mounts the config's local paths at the same paths in the container; `states` is where training states are."""
    from docker.types import Mount

    paths = [
        config.target.data,
        config.target.ledger,
        *(path for source in config.source for path in (source.data, source.init, source.ledger)),
    ]
    read = {str(Path(path).absolute()) for path in paths if path and Path(path).exists()}
    written = {str(out)}
    for path in (config.store, config.checkpoint_uri or states):
        if path and _is_local(path):
            Path(path).mkdir(parents=True, exist_ok=True)
            written.add(str(Path(path).absolute()))
    return [
        *(Mount(target=path, source=path, type="bind", read_only=True) for path in sorted(read)),
        *(Mount(target=path, source=path, type="bind") for path in sorted(written)),
    ]
