"""What Cloud Storage's answers mean for whoever asked, one sentence each. No address and no token is ever repeated."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import google.api_core.exceptions as api
import google.auth.exceptions as auth
import requests  # type: ignore[import-untyped]
import urllib3
from google.cloud.storage.exceptions import DataCorruption

from graftline.runtime.errors import RefusedError
from graftline.storage.gcs import client

READ = "storage.objects.list and .get"
WRITE = "storage.objects.create and .get"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def refusing(place: str, rights: str = READ) -> Iterator[None]:
    """Turns what the service answers into one sentence.

    Args:
        place: For the message.
        rights: What the call needs.
    """
    try:
        yield
    except Exception as error:
        if told := refusal(error, place, rights):
            raise told from None
        raise


def refusal(error: BaseException, place: str, rights: str = READ) -> RefusedError | None:
    """Says what an exception means to the user, None for a bug."""
    if isinstance(error, RefusedError):
        return error
    for kinds, sentence in _MEANINGS:
        if isinstance(error, kinds):
            code = getattr(error, "code", None) or type(error).__name__
            return RefusedError(
                f"{place}: " + sentence.format(code=code, rights=rights, last=_last(error), seconds=client.DEADLINE)
            )
    if isinstance(error, OSError) and error.errno in _FULL:
        return RefusedError(f"{place}: the disk is full; make room and run again, what has arrived is kept")
    if isinstance(error, OSError) and error.errno in _IN_THE_WAY:
        return RefusedError(f"{place}: {error.filename}: {error.strerror}; remove it, or set another folder")
    return None


def _last(error: BaseException) -> str:
    """The last of the errors that made a call give up: the service's status or the error's kind."""
    cause = getattr(error, "cause", None) or error
    return str(getattr(cause, "code", None) or type(cause).__name__)


_MEANINGS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (
        api.NotFound,
        "there is no such bucket, or the object went away or was replaced since it was listed; check the "
        "name, or run again",
    ),
    (api.PreconditionFailed, "the object was replaced meanwhile; run again"),
    ((api.Forbidden, api.Unauthorized), "not permitted ({code}); give this account {rights} on the bucket"),
    (
        auth.InvalidOperation,  # what refreshing no credentials gives
        f"not open to everyone; unset {client.ANONYMOUS} and give credentials that may read it",
    ),
    (
        auth.DefaultCredentialsError,
        "no credentials for Google Cloud; run `gcloud auth application-default login`, set "
        f"GOOGLE_APPLICATION_CREDENTIALS, or set {client.ANONYMOUS}=1 for a public bucket",
    ),
    (auth.TransportError, "no answer from Google's sign-in ({last}); check the network and run again"),
    (
        auth.GoogleAuthError,
        "the credentials were not accepted ({last}); run `gcloud auth application-default login` again",
    ),
    (DataCorruption, "the bytes came damaged; check the network and run again"),
    (
        (api.RetryError, api.ServerError, api.TooManyRequests, requests.RequestException, urllib3.exceptions.HTTPError),
        "no answer in {seconds:.0f} s (the last was {last}); try again, what has arrived is kept",
    ),
    (api.GoogleAPICallError, "the service refused ({code}); check the URI and the bucket's settings"),
)
"""The first that fits counts, so what is more special stands first."""
