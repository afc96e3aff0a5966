"""Downloads of 2,000 small and 4 large objects from an emulated bucket: graftline, a loop over blobs, and gcsfs.

    .venv/bin/python benchmarks/download.py [--rounds 3] [--json FILE]

The ratio is the peer's time divided by ours, so higher is better; goals are 2 for the loop and 1 for gcsfs. Rounds are
interleaved, medians are taken, and all bytes are compared. graftline and the loop verify checksums; gcsfs by default
does not. Each method runs in its own process with all modules loaded. gcp-storage-emulator answers one request at a
time in another process. Its connection queue is longer than the default of 5 (otherwise gcsfs loses most connections
and waits seconds for each), and it does not write all its metadata at each upload. Files are written to /dev/shm if it
exists: creating 2,000 files on a disk costs every method the same, on ext4 between 0.06 and 1 s.
"""

import argparse
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
from results import Row, result_row, show

from graftline.storage import access

SMALL, LARGE = 2000, 4
SMALL_BYTES, LARGE_BYTES = 20_000, 64 * 2**20
SETS = {"small": f"{SMALL:,} objects of 20 kB", "large": f"{LARGE} objects of 64 MiB"}
MEMORY = "/dev/shm"
GOALS = {"plain loop": 2.0, "gcsfs": 1.0}


def emulate() -> None:
    """Serves a bucket in memory until it is terminated, and prints its port."""
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
    """Runs the emulator in another process; yields its URL, which is also set in the environment."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--emulate"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )  # gcsfs cancels requests, and the emulator prints each
    assert process.stdout is not None
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{int(process.stdout.readline())}"
    try:
        yield os.environ["STORAGE_EMULATOR_HOST"]
    finally:
        process.terminate()
        process.wait()
        del os.environ["STORAGE_EMULATOR_HOST"]


def upload() -> dict[str, dict[str, bytes]]:
    """Fills the bucket and returns the names and bytes of each set."""
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


def timed(run: Callable[[str, Path, str], None], name: str, folder: Path, url: str, connection: Connection) -> None:
    began = time.perf_counter()
    run(name, folder, url)
    connection.send(time.perf_counter() - began)


def seconds(run: Callable[[str, Path, str], None], name: str, files: dict[str, bytes], url: str) -> float:
    """Returns the seconds of one method into an empty folder, after comparing all bytes."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if Path(MEMORY).is_dir() else None))
    context = multiprocessing.get_context("fork")  # gcsfs's thread stays in the process that started it
    receiver, sender = context.Pipe()
    process = context.Process(target=timed, args=(run, name, folder, url, sender))
    process.start()
    sender.close()
    took: float = receiver.recv()
    process.join()
    received = {path.relative_to(folder / name).as_posix() for path in (folder / name).rglob("*") if path.is_file()}
    assert received == files.keys(), f"{run.__name__}: {len(received)} files of {len(files)}"
    for file, content in files.items():
        assert (folder / name / file).read_bytes() == content, f"{run.__name__}: {file} has other bytes"
    shutil.rmtree(folder)
    return took


def rows(rounds: int) -> list[Row]:
    """Returns a row for each set and peer."""
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # otherwise it asks for the kind by gRPC, for 60 s
    try:
        import gcsfs as _

        import graftline.storage.gcs.download as _  # noqa: F811 (all are imported before they are timed)
    except ImportError:
        sys.exit("benchmarks/download.py compares with gcsfs, which is not installed; run `make bench`")
    ways = {"ours": ours, "plain loop": plain_loop, "gcsfs": gcsfs}
    results: list[Row] = []
    with emulator() as url:
        for name, files in upload().items():
            times: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, run in ways.items():
                    times[way].append(seconds(run, name, files, url))
            median = {way: statistics.median(values) for way, values in times.items()}
            results += [
                compared(
                    f"fetch {SETS[name]} (higher is better); peer: {peer}",
                    median["ours"],
                    median[peer],
                    GOALS[peer],
                    rounds,
                )
                for peer in GOALS
            ]
    return results


def compared(what: str, mine: float, peer: float, goal: float, rounds: int) -> Row:
    """Returns a row whose ratio is the peer's time divided by ours."""
    ratio = peer / mine
    return result_row(what, mine, peer, unit="s", rounds=rounds, ratio=ratio, goal=goal, met=ratio >= goal)


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
    show(measured, f"goal: the ratio, at least; {os.cpu_count()} cores", options.json)


if __name__ == "__main__":
    main()
