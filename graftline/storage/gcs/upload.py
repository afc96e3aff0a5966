"""Puts a file into a bucket: whole or not at all, verified, and never over another object."""

from pathlib import Path

import google.api_core.exceptions as api

from graftline.runtime.errors import RefusedError
from graftline.storage.file_info import file_info
from graftline.storage.gcs.client import client, waits
from graftline.storage.gcs.error_messages import WRITE, refusing
from graftline.storage.gcs.object_names import parsed

_CHUNK = 16 * 2**20  # bytes that are held, and sent again where a connection breaks


def put(file: Path, place: str) -> None:
    """Makes an object of a file. Half an upload is no object: the service makes it when the last byte is there.

    Args:
        file: Here.
        place: gs:// URI of the object.

    Raises:
        RefusedError: Another object is there already (the same bytes are fine), not permitted, or no answer.
    """
    bucket, name = parsed(place)
    with refusing(place, WRITE):
        blob = client().bucket(bucket).blob(name, chunk_size=_CHUNK)
        try:
            blob.upload_from_filename(str(file), checksum="crc32c", if_generation_match=0, **waits())
        except api.PreconditionFailed:  # there already, perhaps by a try of ours whose answer got lost
            blob.reload(**waits())
            if blob.crc32c != file_info(file, "").crc32c:
                raise RefusedError(f"{place}: another object is there already; nothing is overwritten") from None
