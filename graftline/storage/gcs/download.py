"""Parallel, verified and atomic download of objects that are not yet complete in the destination folder."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from threading import Event, Lock
from typing import Any

from google.cloud.storage import transfer_manager

from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.storage.file_info import FileInfo, is_whole
from graftline.storage.gcs import processes
from graftline.storage.gcs.client import WORKERS, client, waits
from graftline.storage.gcs.error_messages import refusal, refusing
from graftline.storage.gcs.object_names import ARRIVING, GS, check_object, check_tree
from graftline.storage.gcs.partial_files import FOLDERS, PIECE, DamagedError, Landing, Pieced, Wanted, Whole
from graftline.storage.gcs.ranges import AbandonedError, Piece

_TRIES = 3  # attempts to download an object with corrupt data
_BATCH_OBJECTS = 4096  # per call of the transfer manager, which keeps all of them in memory
_BATCH_BYTES = 2**30


def fetch(place: str, bucket: str, prefix: str, entries: Sequence[FileInfo], folder: Path) -> None:
    """Downloads objects to a folder, skipping files that are already complete.

    If an object fails, the data that is already downloaded is kept.

    Args:
        place: gs:// URI for messages.
        bucket: Name of the bucket.
        prefix: Prefix that precedes the names of the entries in the bucket.
        entries: Listed entries; objects that were replaced after the listing are rejected.
        folder: Destination, created if missing. Concurrent downloads to the same folder run one after the other.

    Raises:
        RefusedError: If the disk has too little free space, an object is missing, replaced or not accessible, the
            service does not respond, or the received data is corrupt.
    """
    for entry in entries:
        check_object(place, entry.name)
    check_tree(place, (entry.name for entry in entries))
    with refusing(place), _alone_in(folder) as arriving:
        wanted = [Wanted(prefix + entry.name, entry, folder / entry.name) for entry in entries]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            here = list(pool.map(lambda each: is_whole(each.path, each.entry), wanted))
        if not all(here):
            _bring(place, bucket, [each for each, there in zip(wanted, here, strict=True) if not there], arriving)
        shutil.rmtree(arriving, ignore_errors=True)


def _bring(place: str, bucket: str, wanted: list[Wanted], arriving: Path) -> None:
    for folder in {*(arriving / name for name in FOLDERS), *(each.path.parent for each in wanted)}:
        folder.mkdir(parents=True, exist_ok=True)
    progress = _Progress(f"fetching {place}")
    arrivals = [(Whole if each.entry.size <= PIECE else Pieced)(each, arriving, progress.tell) for each in wanted]
    progress.total = sum(size for arrival in arrivals for _, size in arrival.missing())
    free = shutil.disk_usage(arriving).free
    if free < progress.total:
        raise RefusedError(
            f"{place}: {progress.total:,} bytes to fetch, and {free:,} bytes free in {arriving.parent}; "
            "make room, or set another folder for temporary files"
        )
    members = processes.size(len(arrivals))
    if members == 1:
        _land(bucket, arrivals, WORKERS)
        return

    def share(number: int) -> None:
        progress.slot, progress.speaks = number, False
        _land(bucket, arrivals[number::members], WORKERS // members)

    progress.counts = RawArray("q", members)
    processes.run(share, members, progress.say)


def _land(bucket: str, arrivals: list[Whole | Pieced], workers: int) -> None:
    """Downloads the missing pieces of objects and retries pieces with corrupt data.

    Raises:
        RefusedError: If the data of an object is corrupt in all `_TRIES` attempts, or as in `_transfer`.
    """
    for _ in range(_TRIES):
        for batch in _batches(arrivals):
            _transfer(bucket, batch, workers)
    for arrival in arrivals:
        if not arrival.landed:
            raise RefusedError(
                f"{GS}{bucket}/{arrival.wanted.name}: its bytes came damaged {_TRIES} times, by the "
                "checksum that was listed; check the network, or list again if it was replaced"
            )


def _batches(arrivals: Sequence[Whole | Pieced]) -> Iterator[list[Landing]]:
    batch: list[Landing] = []
    held = 0
    for arrival in arrivals:
        for start, size in arrival.missing():
            batch.append(Landing(arrival, start, size))
            held += size
            if len(batch) == _BATCH_OBJECTS or held >= _BATCH_BYTES:
                yield batch
                batch, held = [], 0
    if batch:
        yield batch


def _transfer(bucket: str, batch: list[Landing], workers: int) -> None:
    """Downloads pieces; pieces with corrupt data stay missing and are retried in the next attempt.

    Raises:
        RefusedError: If a piece failed permanently; no further pieces are started after that.
    """
    service = client().bucket(bucket)
    pairs = [(Piece(service, landing), landing) for landing in batch]
    found = transfer_manager.download_many(
        pairs, worker_type=transfer_manager.THREAD, max_workers=workers, download_kwargs={"stop": Event(), **waits()}
    )
    for error, landing in zip(found, batch, strict=True):
        if error is not None and not isinstance(error, DamagedError | AbandonedError):
            raise refusal(error, f"{GS}{bucket}/{landing.arrival.wanted.name}") or error


class _Progress:
    """Counter of downloaded bytes over all threads and, with shared `counts`, over all processes."""

    def __init__(self, what: str) -> None:
        self.total = 0
        self.counts: Any = [0]
        self.slot = 0
        self.speaks = True
        self._what = what
        self._lock = Lock()

    def tell(self, more: int) -> None:
        with self._lock:
            self.counts[self.slot] += more
            if self.speaks:
                self.say()

    def say(self) -> None:
        events.progress(sum(self.counts), self.total, self._what)


@contextmanager
def _alone_in(folder: Path) -> Iterator[Path]:
    """Locks a folder and yields its subfolder for partial files, which no other process uses during the context."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder / ARRIVING
    finally:
        os.close(held)
