"""Single small objects that are replaced and removed, each change bound to the generation that was seen."""

import google.api_core.exceptions as api
import google_crc32c

from graftline.storage.file_info import encoded
from graftline.storage.gcs.client import client, waits
from graftline.storage.gcs.error_messages import refusing
from graftline.storage.gcs.object_names import parsed

RIGHTS = "storage.objects.create, .get and .delete"


def generation(place: str) -> int | None:
    """Returns an object's generation, None where there is no such object.

    Raises:
        RefusedError: Not permitted, or no answer.
    """
    bucket, name = parsed(place)
    with refusing(place, RIGHTS):
        found = client().bucket(bucket).get_blob(name, **waits())
    return None if found is None else int(found.generation)


def replace(place: str, content: bytes, seen: int) -> int | None:
    """Writes an object if it is still of the generation that was seen.

    Args:
        place: gs:// URI.
        content: All of it.
        seen: 0: there must be none yet.

    Returns:
        The new generation; None where another one is there.

    Raises:
        RefusedError: Not permitted, or no answer.
    """
    bucket, name = parsed(place)
    with refusing(place, RIGHTS):
        blob = client().bucket(bucket).blob(name)
        try:
            blob.upload_from_string(content, if_generation_match=seen, checksum="crc32c", **waits())
        except api.PreconditionFailed:
            found = client().bucket(bucket).get_blob(name, **waits())
            # A try of ours whose answer got lost has written it.
            if found is None or found.crc32c != encoded(google_crc32c.value(content)) or found.generation == seen:
                return None
            return int(found.generation)
    return int(blob.generation)


def remove(place: str) -> None:
    """Removes an object; one that is not there is fine.

    Raises:
        RefusedError: Not permitted, or no answer.
    """
    bucket, name = parsed(place)
    with refusing(place, RIGHTS):
        try:
            client().bucket(bucket).blob(name).delete(**waits())
        except api.NotFound:
            return
