"""A range of an object's bytes, fetched by a thread of the transfer manager."""

from threading import Event
from typing import Any
from urllib.parse import quote

import google.api_core.exceptions as api
from google.cloud.storage import Blob

from graftline import __version__
from graftline.storage.gcs.partial_files import DamagedError, Landing

_READ = 2**20  # bytes; what a fetch holds in memory is this times its workers
_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": f"graftline/{__version__}"}  # gzip: as stored, not unpacked


class AbandonedError(Exception):
    """Not asked for, since another object failed for good."""


class Piece(Blob):  # type: ignore[misc]
    """One generation's bytes that a landing is for; what Blob does for a download beyond this costs as much again."""

    def __init__(self, bucket: Any, landing: Landing) -> None:
        wanted = landing.arrival.wanted
        super().__init__(wanted.name, bucket, generation=wanted.entry.generation)
        self._of = wanted.entry.size

    def _prep_and_do_download(
        self, file_obj: Landing, *, stop: Event, timeout: tuple[float, float], retry: Any, **_: Any
    ) -> None:
        """What the transfer manager calls."""
        if stop.is_set():
            raise AbandonedError
        try:
            with file_obj:
                self._bring(file_obj, timeout, retry)
            file_obj.finish()
        except DamagedError:
            raise  # another try may heal it
        except BaseException:
            stop.set()
            raise

    def _bring(self, landing: Landing, timeout: tuple[float, float], retry: Any) -> Any:
        """Tries until all is here, or the policy's deadline passes without a byte."""
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
        """Takes what is not here yet: a try after a broken connection goes on where that broke."""
        start, end = landing.start + landing.here, landing.start + landing.size
        headers = _HEADERS if (start, end) == (0, self._of) else {**_HEADERS, "Range": f"bytes={start}-{end - 1}"}
        with self.client._http.request("GET", url, headers=headers, timeout=timeout, stream=True) as response:
            if response.status_code not in (200, 206):
                raise api.from_http_status(response.status_code, "")  # type: ignore[no-untyped-call]
            if response.raw.length_remaining not in (None, end - start):
                raise DamagedError
            while landing.here < landing.size and (content := response.raw.read(_READ, decode_content=False)):
                landing.write(content)
