"""Whose credentials are used, how long is waited, how many connections are made; and what it says without them."""

from pathlib import Path

import pytest
import requests

from graftline.runtime.errors import RefusedError
from graftline.storage import access
from graftline.storage.gcs import client
from tests.builders.fake_bucket import ALWAYS, Bucket


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))


def test_a_dead_endpoint_is_refused_within_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setattr(client, "DEADLINE", 1.0)
    with pytest.raises(RefusedError, match=r"gs://bucket/a: no answer in 1 s \(the last was ConnectionError\); try"):
        access.local("gs://bucket/a", tmp_path)


@pytest.mark.usefixtures("nobody")
def test_missing_credentials_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        RefusedError,
        match=r"gs://bucket/a: no credentials for Google Cloud; run `gcloud auth .*"
        r"GRAFTLINE_ANONYMOUS=1 for a public bucket",
    ):
        access.listing("gs://bucket/a")


@pytest.mark.usefixtures("nobody")
def test_anonymous_access_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTLINE_ANONYMOUS", "1")
    headers: dict[str, str] = {}
    client.client()._http.credentials.before_request(None, "GET", "https://storage.googleapis.com", headers)
    assert headers == {}


def test_an_emulator_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9023")
    with pytest.raises(RefusedError, match="STORAGE_EMULATOR_HOST: 'localhost:9023' is no address; expected http://"):
        access.exists("gs://bucket/a")


def test_damaged_credentials_are_refused_without_a_word_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    (tmp_path / "key.json").write_text('{"type": "service_account", "private_key": "SECRET", "client_email": "a@b"}')
    with pytest.raises(RefusedError) as refused:
        access.listing("gs://bucket/a")
    assert "credentials" in str(refused.value)
    assert "SECRET" not in str(refused.value)


def test_connections_are_kept(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects = {f"set/{number}": b"1" for number in range(500)}
    access.local("gs://bucket/set", tmp_path)
    assert len(bucket.fetched()) == 500
    assert bucket.connections <= client.WORKERS + 1


def test_a_proxy_is_used(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.objects["set/a"] = b"1"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://storage.invalid")
    monkeypatch.setenv("http_proxy", bucket.url)
    monkeypatch.setenv("no_proxy", "")
    assert (access.local("gs://bucket/set", tmp_path) / "a").read_bytes() == b"1"


def test_a_token_is_renewed_when_it_is_refused(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.objects["set/a"] = b"1"
    bucket.fail("media", 401)
    renewed = []
    monkeypatch.setattr(client.client()._http.credentials, "refresh", lambda request: renewed.append(request))
    assert (access.local("gs://bucket/set", tmp_path) / "a").read_bytes() == b"1"
    assert len(renewed) == 1


def test_a_token_that_stays_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.fail("about", 401, ALWAYS)
    with pytest.raises(RefusedError, match="gs://bucket/a: not open to everyone; unset GRAFTLINE_ANONYMOUS and give"):
        access.listing("gs://bucket/a")
    monkeypatch.setattr(client.client()._http.credentials, "refresh", lambda request: None)
    with pytest.raises(RefusedError, match=r"gs://bucket/a: not permitted \(401\); give this account storage.objects"):
        access.listing("gs://bucket/a")


def test_requests_own_way_answers_as_the_direct_one(bucket: Bucket) -> None:
    bucket.objects["a"] = b"123"
    for name in ("a", "none"):
        url = f"{bucket.url}/storage/v1/b/bucket/o/{name}?alt=media"
        ours = client.client()._http.request("GET", url, headers={}, timeout=(1, 1), stream=True)
        theirs = requests.get(url, timeout=1)
        assert (ours.status_code, ours.raw.read()) == (theirs.status_code, theirs.content)
