"""A bucket in this process: the part of Cloud Storage's JSON interface that listing, getting and putting needs."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c


class Bucket:
    """Object name to bytes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.url = ""
        self.lose_answers = 0
        """How many uploads are stored though their answer is 'unavailable'."""


def _entry(name: str, content: bytes) -> dict[str, Any]:
    checksum = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    return {"kind": "storage#object", "name": name, "bucket": "bucket", "size": str(len(content)), "crc32c": checksum,
            "generation": "1", "metageneration": "1"}


def _handler(bucket: Bucket) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            if match := re.fullmatch(r"(?:/download)?/storage/v1/b/bucket/o/(.+)", parts.path):
                name = unquote(match[1])
                if name not in bucket.objects:
                    self._answer(404, {"error": {"code": 404, "message": "no such object"}})
                elif asked.get("alt") == ["media"]:
                    self._bytes(200, bucket.objects[name])
                else:
                    self._answer(200, _entry(name, bucket.objects[name]))
            else:
                prefix = asked.get("prefix", [""])[0]
                found = sorted(item for item in bucket.objects.items() if item[0].startswith(prefix))
                self._answer(200, {"items": [_entry(*item) for item in found]})

        def do_POST(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if asked["uploadType"] == ["resumable"]:
                name = json.loads(body)["name"]
                self._bytes(200, b"{}", Location=f"{bucket.url}/resume?name={name}")
                return
            boundary = re.search('boundary="?([^";]+)', self.headers["Content-Type"])[1]  # type: ignore[index]
            _, about, content, _ = body.split(f"--{boundary}".encode())
            name = json.loads(about.split(b"\r\n\r\n", 1)[1])["name"]
            self._store(name, content.split(b"\r\n\r\n", 1)[1][:-2], asked)

        def do_PUT(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            self._store(asked["name"][0], self.rfile.read(int(self.headers["Content-Length"])), asked)

        def _store(self, name: str, content: bytes, asked: dict[str, list[str]]) -> None:
            if asked.get("ifGenerationMatch") == ["0"] and name in bucket.objects:
                self._answer(412, {"error": {"code": 412, "message": "there already"}})
                return
            bucket.objects[name] = content
            if bucket.lose_answers:
                bucket.lose_answers -= 1
                self._answer(503, {"error": {"code": 503, "message": "unavailable"}})
            else:
                self._answer(200, _entry(name, content))

        def _answer(self, status: int, value: dict[str, Any]) -> None:
            self._bytes(status, json.dumps(value).encode())

        def _bytes(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            sizes = {"Content-Type": "application/json", "Content-Length": str(len(content))}
            for name, value in {**sizes, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Bucket]:
    """Serves an empty bucket named `bucket`; STORAGE_EMULATOR_HOST has to be its `url`."""
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bucket))
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
