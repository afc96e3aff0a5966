"""Fetching 2,000 small and 4 large objects from the emulator: graftline's fetch, a plain loop over blobs, and gcsfs.

    .venv/bin/python benchmarks/download.py [--rounds 3] [--json FILE]

A ratio is the peer's time over ours, so higher is better; goals are 2 for the loop and 1 for gcsfs. Rounds are
interleaved, medians are taken, and all bytes are compared. Ours and the loop verify checksums, gcsfs by default does
not. Each way runs in a process of its own, with all modules loaded. gcp-storage-emulator answers one request at a time
in another; its queue for connections is made longer than 5 (else gcsfs loses most of them and waits seconds for each),
and it does not write all its metadata at each upload. Files go to memory where there is /dev/shm: to make 2,000 on a
disk costs all ways alike, on ext4 anything from 0.06 to 1 s, by how many were deleted there in the last minutes.
"""

import argparse
import json
import logging
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from google.cloud.storage import Client
from rich.console import Console
from rich.table import Table

from graftline.storage import access

SMALL, LARGE = 2000, 4
SMALL_BYTES, LARGE_BYTES = 20_000, 64 * 2**20
SETS = {"small": f"{SMALL:,} objects of 20 kB", "large": f"{LARGE} objects of 64 MiB"}
MEMORY = "/dev/shm"
GOALS = {"plain loop": 2.0, "gcsfs": 1.0}


def emulate() -> None:
    """Serves a bucket in memory until it is terminated, its port printed."""
    from gcp_storage_emulator.server import create_server
    from gcp_storage_emulator.storage import Storage

    logging.disable(logging.CRITICAL)
    HTTPServer.request_queue_size = 512
    Storage._write_config_to_file = lambda self: None
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    print(server._api._httpd.server_port, flush=True)


@contextmanager
def emulator() -> Iterator[str]:
    """Runs the emulator in another process; its URL, which the environment has too."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--emulate"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )  # gcsfs breaks off requests, and the emulator tells each
    assert process.stdout is not None
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{int(process.stdout.readline())}"
    try:
        yield os.environ["STORAGE_EMULATOR_HOST"]
    finally:
        process.terminate()
        process.wait()
        del os.environ["STORAGE_EMULATOR_HOST"]


def upload() -> dict[str, dict[str, bytes]]:
    """Fills the bucket; each set's names and bytes."""
    draw = random.Random(0)
    small = {f"{number % 20:02}/{number:05}.jpg": draw.randbytes(SMALL_BYTES) for number in range(SMALL)}
    large = {f"{number}.tar": draw.randbytes(LARGE_BYTES) for number in range(LARGE)}
    sets = {"small": small, "large": large}
    bucket = Client().bucket("bucket")
    for name, files in sets.items():
        for file, content in files.items():
            bucket.blob(f"{name}/{file}").upload_from_string(content)
    return sets


def ours(name: str, folder: Path, url: str) -> None:
    access.local(f"gs://bucket/{name}", folder)


def plain_loop(name: str, folder: Path, url: str) -> None:
    for blob in Client().list_blobs("bucket", prefix=f"{name}/"):
        path = folder / blob.name
        path.parent.mkdir(parents=True, exist_ok=True)
        blob.download_to_filename(str(path))


def gcsfs(name: str, folder: Path, url: str) -> None:
    from gcsfs import GCSFileSystem

    files = GCSFileSystem(endpoint_url=url, token="anon", skip_instance_cache=True, use_listings_cache=False)
    files.get(f"bucket/{name}", str(folder / name), recursive=True)


def timed(run: Callable[[str, Path, str], None], name: str, folder: Path, url: str, told: Connection) -> None:
    began = time.perf_counter()
    run(name, folder, url)
    told.send(time.perf_counter() - began)


def seconds(run: Callable[[str, Path, str], None], name: str, files: dict[str, bytes], url: str) -> float:
    """Times one way into an empty folder, and compares what came."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if Path(MEMORY).is_dir() else None))
    context = multiprocessing.get_context("fork")  # gcsfs's thread stays where it was started
    here, there = context.Pipe()
    process = context.Process(target=timed, args=(run, name, folder, url, there))
    process.start()
    there.close()
    took: float = here.recv()
    process.join()
    came = {path.relative_to(folder / name).as_posix() for path in (folder / name).rglob("*") if path.is_file()}
    assert came == files.keys(), f"{run.__name__}: {len(came)} files of {len(files)}"
    for file, content in files.items():
        assert (folder / name / file).read_bytes() == content, f"{run.__name__}: {file} has other bytes"
    shutil.rmtree(folder)
    return took


def rows(rounds: int) -> list[dict[str, object]]:
    """Measures; a row for each set and peer."""
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # else it asks for the bucket's kind by gRPC, for 60 s
    try:
        import gcsfs as _

        import graftline.storage.gcs.download as _  # noqa: F811 (all are loaded before they are timed)
    except ImportError:
        sys.exit("benchmarks/download.py needs gcsfs to compare with: install gcsfs into .venv")
    ways = {"ours": ours, "plain loop": plain_loop, "gcsfs": gcsfs}
    made = []
    with emulator() as url:
        for name, files in upload().items():
            found: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, run in ways.items():
                    found[way].append(seconds(run, name, files, url))
            median = {way: statistics.median(values) for way, values in found.items()}
            made += [
                row(f"fetch {SETS[name]}; peer: {peer}", median["ours"], median[peer], GOALS[peer], rounds)
                for peer in GOALS
            ]
    return made


def row(what: str, mine: float, others: float, goal: float, rounds: int) -> dict[str, object]:
    ratio = others / mine
    return {
        "what": what,
        "ours": round(mine, 3),
        "peer": round(others, 3),
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": ratio >= goal,
        "unit": "s",
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--emulate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.emulate:
        emulate()
        return
    measured = rows(options.rounds)
    table = Table(*measured[0], caption=f"goal: the ratio, at least; {os.cpu_count()} cores")
    for each in measured:
        table.add_row(*map(str, each.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
