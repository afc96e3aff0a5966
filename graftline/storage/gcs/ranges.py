"""Download of a byte range of an object in a thread of the transfer manager."""

from threading import Event
from typing import Any
from urllib.parse import quote

import google.api_core.exceptions as api
from google.cloud.storage import Blob

from graftline import __version__
from graftline.storage.gcs.partial_files import DamagedError, Landing

_READ = 2**20  # bytes per read; the memory of a download is this times the number of workers
_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": f"graftline/{__version__}"}  # gzip: as stored, not decompressed


class AbandonedError(Exception):
    """Raised for a piece that is not requested because another object failed permanently."""


class Piece(Blob):  # type: ignore[misc]
    """Blob that downloads the byte range of a landing directly, since the download code of `Blob` is twice as slow."""

    def __init__(self, bucket: Any, landing: Landing) -> None:
        wanted = landing.arrival.wanted
        super().__init__(wanted.name, bucket, generation=wanted.entry.generation)
        self._of = wanted.entry.size

    def _prep_and_do_download(
        self, file_obj: Landing, *, stop: Event, timeout: tuple[float, float], retry: Any, **_: Any
    ) -> None:
        """Downloads the piece to `file_obj`; overrides the method that the transfer manager calls."""
        if stop.is_set():
            raise AbandonedError
        try:
            with file_obj:
                self._bring(file_obj, timeout, retry)
            file_obj.finish()
        except DamagedError:
            raise  # may succeed in the next attempt
        except BaseException:
            stop.set()
            raise

    def _bring(self, landing: Landing, timeout: tuple[float, float], retry: Any) -> Any:
        """Downloads the piece, retrying until it is complete or no byte is received within the deadline of `retry`."""
        base = f"{self.client._connection.get_api_base_url_for_mtls()}/download/storage/v1/b/{self.bucket.name}/o"
        url = f"{base}/{quote(self.name, safe='')}?generation={self.generation}&alt=media"
        while True:
            before = landing.here
            try:
                return retry(lambda: self._receive(url, timeout, landing))()
            except api.RetryError:
                if landing.here == before:
                    raise

    def _receive(self, url: str, timeout: tuple[float, float], landing: Landing) -> None:
        """Requests the bytes that are still missing, so that a retry resumes where the connection failed."""
        start, end = landing.start + landing.here, landing.start + landing.size
        headers = _HEADERS if (start, end) == (0, self._of) else {**_HEADERS, "Range": f"bytes={start}-{end - 1}"}
        with self.client._http.request("GET", url, headers=headers, timeout=timeout, stream=True) as response:
            if response.status_code not in (200, 206):
                raise api.from_http_status(response.status_code, "")  # type: ignore[no-untyped-call]
            if response.raw.length_remaining not in (None, end - start):
                raise DamagedError
            while landing.here < landing.size and (content := response.raw.read(_READ, decode_content=False)):
                landing.write(content)
