"""Atomic, verified upload of a file to a bucket that never overwrites another object."""

from pathlib import Path

import google.api_core.exceptions as api

from graftline.runtime.errors import RefusedError
from graftline.storage.file_info import file_info
from graftline.storage.gcs.client import client, waits
from graftline.storage.gcs.error_messages import WRITE, refusing
from graftline.storage.gcs.object_names import parsed

_CHUNK = 16 * 2**20  # bytes kept in memory and sent again if the connection fails


def put(file: Path, place: str) -> None:
    """Uploads a file; the object is created only when the upload is complete.

    Args:
        file: Local file.
        place: gs:// URI of the object.

    Raises:
        RefusedError: If an object with different content already exists, writing is not permitted or the service does
            not respond.
    """
    bucket, name = parsed(place)
    with refusing(place, WRITE):
        blob = client().bucket(bucket).blob(name, chunk_size=_CHUNK)
        try:
            blob.upload_from_filename(str(file), checksum="crc32c", if_generation_match=0, **waits())
        except api.PreconditionFailed:  # it exists, possibly from an earlier attempt whose response was lost
            blob.reload(**waits())
            if blob.crc32c != file_info(file, "").crc32c:
                raise RefusedError(f"{place}: another object is there already; nothing is overwritten") from None
