"""Generation lookup, conditional writes and deletion of small objects; a write requires the current generation."""

import google.api_core.exceptions as api
import google_crc32c

from graftline.storage.file_info import encoded
from graftline.storage.gcs.client import client, waits
from graftline.storage.gcs.error_messages import refusing
from graftline.storage.gcs.object_names import parsed

RIGHTS = "storage.objects.create, .get and .delete"


def generation(place: str) -> int | None:
    """Returns the generation of an object, or None if the object does not exist.

    Raises:
        RefusedError: If the access is not permitted or the service does not respond.
    """
    bucket, name = parsed(place)
    with refusing(place, RIGHTS):
        found = client().bucket(bucket).get_blob(name, **waits())
    return None if found is None else int(found.generation)


def replace(place: str, content: bytes, seen: int) -> int | None:
    """Writes an object if its current generation is `seen`.

    Args:
        place: gs:// URI.
        content: Complete content of the object.
        seen: Expected generation; 0 if the object must not exist yet.

    Returns:
        The new generation, or None if the object has another generation.

    Raises:
        RefusedError: If the access is not permitted or the service does not respond.
    """
    bucket, name = parsed(place)
    with refusing(place, RIGHTS):
        blob = client().bucket(bucket).blob(name)
        try:
            blob.upload_from_string(content, if_generation_match=seen, checksum="crc32c", **waits())
        except api.PreconditionFailed:
            found = client().bucket(bucket).get_blob(name, **waits())
            # With the same content, an earlier attempt whose response was lost has written the object.
            if found is None or found.crc32c != encoded(google_crc32c.value(content)) or found.generation == seen:
                return None
            return int(found.generation)
    return int(blob.generation)


def remove(place: str) -> None:
    """Deletes an object if it exists.

    Raises:
        RefusedError: If the access is not permitted or the service does not respond.
    """
    bucket, name = parsed(place)
    with refusing(place, RIGHTS):
        try:
            client().bucket(bucket).blob(name).delete(**waits())
        except api.NotFound:
            return
