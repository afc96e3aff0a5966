"""Runs every benchmark and writes its results to docs/benchmarks/, with command, date and machine.

    .venv/bin/python benchmarks/run_all.py [NAME ...]

`make bench` runs it and renders docs/speed.md. It takes hours; keep the machine idle.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "benchmarks"
COMMANDS = {
    "1-pipeline": "benchmarks/pipeline.py",
    "2-overhead": "benchmarks/overhead.py --rounds 3",
    "3-data": "benchmarks/data.py --rounds 3",
    "4-near-duplicates": "benchmarks/near_duplicates.py --copies 300",
    "5-training": "benchmarks/train.py --rounds 3",
    "6-strategies": "benchmarks/strategies.py",
}
"""Record to the benchmark that measures it."""


def machine() -> str:
    """Returns a description of this machine: cores, memory, GPU and the version of torch."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} CPU cores, {memory:.0f} GiB of memory, {gpu}, torch {torch.__version__}"


def record(name: str) -> None:
    """Runs one benchmark and replaces the measurements of its record; title and description stay."""
    path = RECORDS / f"{name}.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        subprocess.run([sys.executable, *COMMANDS[name].split(), "--json", str(file)], cwd=ROOT, check=True)
        rows = json.loads(file.read_text(encoding="utf-8"))
    measured = {
        "title": earlier["title"],
        "command": f".venv/bin/python {COMMANDS[name]}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "text": earlier.get("text", []),
        "rows": rows,
    }
    path.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(COMMANDS), metavar="NAME")
    for name in parser.parse_args().names:
        record(name)


if __name__ == "__main__":
    main()
