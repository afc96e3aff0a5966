"""Cheap identity of all data of a run, and the refusal of what cannot work, before anything is trained."""

from graftline import events, storage
from graftline.config import Config
from graftline.errors import RefusedError
from graftline.formats import check_name
from graftline.formats.digits import BUILTIN, PLACES, VERSION
from graftline.jobs import Jobs, jobs_of
from graftline.manifest import canonical_json, digest_text

_INITS = ("random", "DEFAULT")


def fingerprint(config: Config) -> Jobs:
    """Takes the fingerprints and splits the config into the steps' jobs.

    Args:
        config: The whole run.

    Returns:
        All jobs; those that read raw data or weights carry their fingerprint, so that a cache sees changed content.

    Raises:
        RefusedError: A place of data or weights that is missing or may not be read, or an unknown format.
    """
    for data in [config.target, *config.source]:
        check_name(data.format)
    places = [config.target.data, *(source.data for source in config.source if source.data)]
    inits = [source.init for source in config.source if source.init not in _INITS]
    for init in inits:
        if not storage.exists(init):
            raise RefusedError(f"source.init: {init!r} is neither {' nor '.join(_INITS)} nor a file, folder or URI "
                               "that is there")
    found = {place: of_place(place) for place in dict.fromkeys([*places, *inits])}
    for place, digest in found.items():
        events.log(f"{place}: {digest}")
    return jobs_of(config, found)


def of_place(place: str) -> str:
    """Fingerprints one place: sha256 over names, sizes and crc32c of its files, alike for a folder and its copy in gs://.

    Args:
        place: Local path, file:// or gs:// URI, or `builtin:...`.

    Raises:
        RefusedError: Missing, empty, or not permitted.
    """
    if place.startswith(BUILTIN):
        if place not in PLACES:
            raise RefusedError(f"{place}: not built in; there are {' and '.join(PLACES)}")
        return digest_text(canonical_json([place, VERSION]))
    entries = storage.listing(place)
    if not entries:
        raise RefusedError(f"{place}: an empty folder")
    return digest_text(canonical_json([[entry.name, entry.size, entry.crc32c] for entry in entries]))
