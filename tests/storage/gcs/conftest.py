"""A bucket in this process whose faults are made to order, and the emulator, which knows none."""

import http.server
import logging
from collections.abc import Iterator

import pytest
from gcp_storage_emulator.server import create_server

from graftline.storage.gcs import client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up soon."""
    monkeypatch.setattr(client, "DEADLINE", 0.3)
    monkeypatch.setattr(client, "TIMEOUT", (1.0, 0.2))


@pytest.fixture(scope="session")
def _emulating() -> Iterator[str]:
    http.server.HTTPServer.request_queue_size, before = 128, http.server.HTTPServer.request_queue_size  # 5 are too few
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    http.server.HTTPServer.request_queue_size = before
    yield f"http://127.0.0.1:{server._api._httpd.server_port}"
    server.stop()


@pytest.fixture
def emulator(_emulating: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing, end to end: gcp-storage-emulator with a bucket named `bucket`."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _emulating)
