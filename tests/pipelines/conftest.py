import pytest

from graftline.pipelines.local.run import RunResult
from tests.pipelines.bench import Bench


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, RunResult]:
    """The same config, two sources and two strategies, run twice."""
    bench = Bench(tmp_path_factory.mktemp("two_runs"))
    config = bench.config(sources=("one", "two"), strategies=["full", {"partial": {"freeze": 1}}])
    return bench.run(config), bench.run(config)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench whose cache holds one run of its smallest config."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    assert bench.run(bench.config()).status == "succeeded"
    return bench
