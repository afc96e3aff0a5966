"""Cloud Storage client of this process, its timeouts and retries, and a session with fast downloads.

If STORAGE_EMULATOR_HOST is set, the client connects to that emulator without credentials. With GRAFTLINE_ANONYMOUS=1,
it reads public buckets without credentials. Otherwise it uses Application Default Credentials:
GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the service account of the machine.
"""

import os
from functools import lru_cache
from typing import Any

import requests  # type: ignore[import-untyped]
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter  # type: ignore[import-untyped]
from requests.utils import select_proxy  # type: ignore[import-untyped]
from urllib3 import HTTPConnectionPool, Timeout

from graftline.runtime.errors import RefusedError

ANONYMOUS = "GRAFTLINE_ANONYMOUS"
EMULATOR = "STORAGE_EMULATOR_HOST"
DEADLINE = 60.0
"""Time in seconds during which a failed call is retried."""
TIMEOUT = (10.0, 30.0)
"""Connect timeout and read timeout in seconds."""
FIRST_DELAY = 1.0
"""Maximum delay in seconds before the first retry; it doubles for each further retry."""
WORKERS = 32
"""Maximum number of concurrent requests; high because downloads of small objects are limited by network latency."""
# Otherwise the library requests the metadata of each bucket for its traces, in a separate thread and with a permission
# that few accounts have.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
_SETTINGS = (EMULATOR, ANONYMOUS, "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME")


class _Direct(requests.Session):  # type: ignore[misc]
    """Session that streams downloads directly from the urllib3 pool, since `requests` doubles the CPU time of a call.

    The pool, TLS settings and certificates are those of the adapter of the session. Behind a proxy, `requests` is used.
    """

    _known: tuple[HTTPAdapter, str, HTTPConnectionPool | None] | None = None

    def request(self, method: str, url: str, *rest: Any, **options: Any) -> requests.Response:
        timeout: Any = options.get("timeout")
        streams = method == "GET" and options.get("stream") and isinstance(timeout, tuple)
        root, pool = self._pool(url) if streams else ("", None)
        if pool is None:
            return super().request(method, url, *rest, **options)
        raw = pool.urlopen(
            "GET",
            url.removeprefix(root),
            headers=options["headers"],
            redirect=False,
            retries=False,
            timeout=Timeout(None, *timeout),
            preload_content=False,
            decode_content=False,
        )
        response = requests.Response()
        response.status_code, response.headers, response.raw, response.url = raw.status, raw.headers, raw, url
        return response

    def _pool(self, url: str) -> tuple[str, HTTPConnectionPool | None]:
        adapter = self.get_adapter(url)
        if self._known is None or self._known[0] is not adapter or not url.startswith(self._known[1]):
            assert isinstance(adapter, HTTPAdapter)
            settings = self.merge_environment_settings(url, {}, True, None, None)
            pool: Any = None
            if select_proxy(url, settings["proxies"]) is None:
                prepared = requests.Request("GET", url).prepare()
                pool = adapter.get_connection_with_tls_context(prepared, settings["verify"], None, settings["cert"])
                adapter.cert_verify(pool, url, settings["verify"], settings["cert"])
            self._known = adapter, "/".join(url.split("/", 3)[:3]), pool
        return self._known[1:]


class Session(AuthorizedSession, _Direct):
    """Authorized session of the Google library, which adds and refreshes credentials, on top of `_Direct`."""


def client() -> Any:
    """Returns the client for the current environment variables, cached because it holds connections and a token.

    Raises:
        RefusedError: If the address of the emulator is not a URL.
        google.auth.exceptions.DefaultCredentialsError: If no credentials are found.
    """
    return _client(os.getpid(), *map(os.environ.get, _SETTINGS))


@lru_cache(maxsize=1)
def _client(process: int, emulator: str | None, anonymous: str | None, *others: str | None) -> Any:
    if emulator and not emulator.startswith(("http://", "https://")):
        raise RefusedError(f"{EMULATOR}: {emulator!r} is no address; expected http://host:port")
    nobody = anonymous not in (None, "", "0") and not emulator
    made = storage.Client.create_anonymous_client() if nobody else storage.Client(project=None)
    session: Any = Session(made._credentials)  # type: ignore[no-untyped-call]
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=WORKERS))
    session.configure_mtls_channel(made._client_cert_source)
    made._http_internal = session
    return made


def waits() -> dict[str, Any]:
    """Returns the arguments `timeout` and `retry` of every call: the default retry policy with the deadlines above."""
    return {"timeout": TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(DEADLINE).with_delay(initial=FIRST_DELAY)}
