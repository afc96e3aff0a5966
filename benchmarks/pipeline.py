"""Seconds of the demo: with an empty cache, and again with every cacheable step cached.

    .venv/bin/python benchmarks/pipeline.py [--json FILE]

Lower is better. Goals: 300 s from raw data to a released model, 20 s for the rerun. The installation is not included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import result_row, show

GOALS = {"the demo with an empty cache (lower is better)": 300.0, "the demo again (lower is better)": 20.0}
"""Run to its goal in seconds."""
COMMAND = "from graftline.cli.app import main; main()"


def seconds(folder: Path) -> float:
    """Runs the demo with its cache in a folder and returns its duration."""
    environment = os.environ | {"GRAFTLINE_CACHE": str(folder / "cache")}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", COMMAND, "run", "transfer", "--out", str(folder / "run")],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = [(what, goal, seconds(Path(folder))) for what, goal in GOALS.items()]
    rows = [result_row(what, took, unit="s", rounds=1, goal=goal, met=took <= goal) for what, goal, took in measured]
    show(rows, f"{os.cpu_count()} cores", options.json)


if __name__ == "__main__":
    main()
