import pytest

from graftline.pipelines.local.run import RunResult
from tests.builders.stub_runs import StubRuns


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, RunResult]:
    """The same config, two sources and two strategies, run twice."""
    stubs = StubRuns(tmp_path_factory.mktemp("two_runs"))
    config = stubs.config(sources=("one", "two"), strategies=["full", {"partial": {"freeze": 1}}])
    return stubs.run(config), stubs.run(config)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> StubRuns:
    """Stub runs whose cache holds one run of its smallest config."""
    stubs = StubRuns(tmp_path_factory.mktemp("stubs"))
    assert stubs.run(stubs.config()).status == "succeeded"
    return stubs
