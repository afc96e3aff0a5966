"""The one client of this process, its patience, and a session that downloads at little cost.

With STORAGE_EMULATOR_HOST set, an emulator is asked, without credentials. With GRAFTLINE_ANONYMOUS=1, public buckets
are read without credentials. Else the credentials are those of Google's tools: GOOGLE_APPLICATION_CREDENTIALS, `gcloud
auth application-default login`, or the machine's own service account.
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
"""Seconds in which a call is tried again."""
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and without a byte."""
FIRST_DELAY = 1.0
"""Seconds, at most, before the second try; twice as much before each further one."""
WORKERS = 32
"""Requests at a time: small objects wait for the network, not for this machine."""
# Else the library asks for each bucket's own data, in a thread of its own, with a right that few have, for its traces.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
_SETTINGS = (EMULATOR, ANONYMOUS, "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME")


class _Direct(requests.Session):  # type: ignore[misc]
    """Streams straight from urllib3's pool: what requests does for each call costs as much as all the rest of one.

    Pool, TLS settings and certificates are those of the session's own adapter; behind a proxy requests' way is taken.
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
    """The library's own session, with its credentials and their refresh, above `_Direct`."""


def client() -> Any:
    """The client for what the environment says now; made once, since it holds connections and a token.

    Raises:
        RefusedError: The emulator's address is no URL.
        google.auth.exceptions.DefaultCredentialsError: There are no credentials.
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
    """The arguments `timeout` and `retry` of every call: the library's own policy, with deadlines of ours."""
    return {"timeout": TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(DEADLINE).with_delay(initial=FIRST_DELAY)}
