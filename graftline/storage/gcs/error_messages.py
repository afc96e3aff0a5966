"""Error messages of one sentence for the errors of Cloud Storage; they never contain a request URL or a token."""

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
    """Converts errors of the service inside the context into a `RefusedError` with a message of one sentence.

    Args:
        place: Path or URI for the message.
        rights: Permissions that the call requires.

    Raises:
        RefusedError: For every error that `refusal` recognizes.
    """
    try:
        yield
    except Exception as error:
        if told := refusal(error, place, rights):
            raise told from None
        raise


def refusal(error: BaseException, place: str, rights: str = READ) -> RefusedError | None:
    """Returns the `RefusedError` that explains an exception to the user, or None if the exception is a bug."""
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
    """Returns the HTTP status or the exception type of the last failed attempt of a call."""
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
        auth.InvalidOperation,  # raised when anonymous credentials are refreshed
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
"""Pairs of exception types and messages; the first match is used, so more specific types precede general ones."""
