"""What the docker runner passes to docker, with a fake client in its place."""

from pathlib import Path
from typing import Any

import docker
import pytest

from graftline.config import Config
from graftline.pipelines.local import runners
from graftline.pipelines.local.monitor import RunMonitor
from graftline.pipelines.local.runners import make_runner
from graftline.runtime.errors import RefusedError


class FakeContainer:
    def __init__(self, number: int, label: str) -> None:
        self.id, self.label = str(number), label
        self.calls: list[Any] = []

    def exec_run(self, command: list[str]) -> None:
        self.calls.append(command)

    def kill(self) -> None:
        self.calls.append("kill")


class FakeDocker:
    """The part of `docker.DockerClient` that the runner calls."""

    def __init__(self) -> None:
        self.images = self.containers = self
        self.running: list[FakeContainer] = []

    def get(self, image: str) -> Any:
        return type("Image", (), {"id": f"sha256 of {image}"})

    def list(self, filters: dict[str, str]) -> list[FakeContainer]:
        return [container for container in self.running if container.label == filters["label"]]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDocker:
    client = FakeDocker()
    monkeypatch.setattr(docker, "from_env", lambda: client)
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAFTLINE_CHECKPOINTS", raising=False)
    return client


def config(folder: Path, **more: Any) -> Config:
    (folder / "data").mkdir(exist_ok=True)
    return Config.model_validate({"target": {"data": str(folder / "data")}, "source": {"init": "random"}} | more)


def passed(config: Config, out: Path) -> tuple[dict[str, bool], dict[str, str]]:
    """Mounted paths, with whether each is read-only, and environment variables of the containers."""
    arguments = make_runner("docker", config, out=out, image=None).kfp.container_run_args
    mounts = arguments["mounts"]
    assert all(mount["Source"] == mount["Target"] for mount in mounts)
    return {mount["Source"]: mount["ReadOnly"] for mount in mounts}, arguments["environment"]


def test_data_is_mounted_read_only_and_outputs_writable(client: FakeDocker, tmp_path: Path):
    mounts, environment = passed(config(tmp_path, store=str(tmp_path / "store")), tmp_path / "out")
    assert mounts == {
        str(tmp_path / "data"): True,
        str(tmp_path / "store"): False,
        str(tmp_path / "out"): False,
        str(tmp_path / "cache" / "checkpoints"): False,
    }
    assert environment["GRAFTLINE_RUN_DIR"] == str(tmp_path / "out")
    assert (tmp_path / "store").is_dir()


def test_training_states_are_mounted_from_the_cache_by_default(client: FakeDocker, tmp_path: Path):
    mounts, environment = passed(config(tmp_path), tmp_path / "out")
    states = tmp_path / "cache" / "checkpoints"
    assert environment["GRAFTLINE_CHECKPOINTS"] == str(states)
    assert mounts[str(states)] is False
    assert states.is_dir()


def test_training_states_are_mounted_from_the_environment_variable(
    client: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFTLINE_CHECKPOINTS", "states")
    mounts, environment = passed(config(tmp_path), tmp_path / "out")
    assert environment["GRAFTLINE_CHECKPOINTS"] == str(tmp_path / "states")
    assert mounts[str(tmp_path / "states")] is False


def test_a_local_checkpoint_uri_is_mounted(client: FakeDocker, tmp_path: Path):
    mounts, _ = passed(config(tmp_path, checkpoint_uri=str(tmp_path / "states")), tmp_path / "out")
    assert mounts[str(tmp_path / "states")] is False
    assert (tmp_path / "states").is_dir()


@pytest.mark.parametrize("uri", ["gs://bucket/states", "none"])
def test_no_folder_is_mounted_for_a_bucket_or_none(client: FakeDocker, tmp_path: Path, uri: str):
    mounts, _ = passed(config(tmp_path, checkpoint_uri=uri), tmp_path / "out")
    assert mounts.keys() == {str(tmp_path / "data"), str(tmp_path / "out")}


def test_stopping_signals_the_steps_in_this_runs_containers_once(
    client: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runner = make_runner("docker", config(tmp_path), out=tmp_path / "out", image=None)
    label = runner.kfp.container_run_args["labels"]
    [(key, value)] = label.items()
    own, other = FakeContainer(1, f"{key}={value}"), FakeContainer(2, f"{key}=another run")
    client.running = [own, other]
    monitor = RunMonitor(tmp_path, [])
    runner.stop(monitor)
    runner.stop(monitor)
    # Every process but PID 1, which is KFP's shell and ignores SIGTERM.
    assert own.calls == [["sh", "-c", "kill -s TERM -- -1"]]
    late = FakeContainer(3, own.label)
    client.running.append(late)
    runner.stop(monitor)
    assert late.calls == own.calls
    monkeypatch.setattr(runners, "GRACE", 0.0)
    runner.stop(monitor)
    assert own.calls[1:] == late.calls[1:] == ["kill"]
    assert other.calls == []


def test_a_second_interrupt_kills_this_runs_containers(client: FakeDocker, tmp_path: Path):
    runner = make_runner("docker", config(tmp_path), out=tmp_path / "out", image=None)
    [(key, value)] = runner.kfp.container_run_args["labels"].items()
    own, other = FakeContainer(1, f"{key}={value}"), FakeContainer(2, f"{key}=another run")
    client.running = [own, other]
    runner.kill()
    assert (own.calls, other.calls) == (["kill"], [])


def test_a_missing_docker_daemon_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_daemon() -> None:
        raise docker.errors.DockerException("connection refused")

    monkeypatch.setattr(docker, "from_env", no_daemon)
    with pytest.raises(RefusedError, match=r"the docker daemon does not respond \(connection refused\)"):
        make_runner("docker", config(tmp_path), out=tmp_path / "out", image=None)
