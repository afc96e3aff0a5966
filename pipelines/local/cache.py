"""A cache for kfp.local whose keys depend on content, and which detects damaged artifacts.

kfp's own local key contains the paths of input artifacts, so a step that runs again invalidates all later steps, and
every existing folder counts as a result. Here the key contains the names of input artifacts, as on a cluster (the
digests among the parameters distinguish content), and a cached artifact counts only if it matches its manifest.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import kfp.local.cache
from kfp.dsl import Artifact

import graftline
import graftline.components
import graftline.pipelines
from graftline.components.step_names import step_name
from graftline.runtime import manifest
from graftline.runtime.code_version import digest_of

OnEvent = Callable[[str, Literal["starts", "cached", "done"], Mapping[str, Any]], None]
"""Receives a step's name, what happened to it, and its outputs."""


class ContentCache(kfp.local.cache.LocalCache):  # type: ignore[misc]  # kfp is untyped
    """A local cache that reports its hits and misses."""

    def __init__(self, root: Path, *, salt: str, on_event: OnEvent, before_step: Callable[[], None]) -> None:
        """Opens a cache.

        Args:
            root: Folder of the entries.
            salt: Part of every key: what else a step's result depends on, such as the image's digest.
            on_event: Called from kfp's threads for each step that starts, is read from the cache, or completes.
            before_step: Called before each step; may raise to prevent it from starting.
        """
        super().__init__(str(root))
        self.n_lookups = 0
        self.bug: Exception | None = None
        self._salt, self._on_event, self._before_step = salt, on_event, before_step
        self._names: dict[str, str] = {}

    def compute_key(
        self, component_name: str, image: str, full_command: list[str], arguments: dict[str, Any], **options: Any
    ) -> str:
        """Computes a step's key from names and parameters, not from paths."""
        self._before_step()
        self.n_lookups += 1
        named = {name: _name_only(value) for name, value in arguments.items()}
        key: str = super().compute_key(component_name, image + self._salt, full_command, named, **options)
        with self._keep_error():
            self._names[key] = step_name(component_name, arguments)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns a step's outputs, or None if there are none or an artifact is damaged."""
        outputs: dict[str, Any] | None = super().get(key)
        name = self._names[key]
        for artifact in (value for value in (outputs or {}).values() if isinstance(value, Artifact)):
            if damage := find_damage(Path(artifact.uri)):
                logging.warning("%s: cached, but %s; runs again", name, damage)
                outputs = None
                break
        with self._keep_error():
            self._on_event(name, "starts" if outputs is None else "cached", outputs or {})
        return outputs

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Stores a step's outputs."""
        super().put(key, outputs)
        with self._keep_error():
            self._on_event(self._names[key], "done", outputs)

    @contextmanager
    def _keep_error(self) -> Iterator[None]:
        """Stores an error: kfp's loops discard it and report only which loop failed."""
        try:
            yield
        except Exception as error:
            self.bug = error
            raise


@contextmanager
def using(cache: ContentCache) -> Iterator[None]:
    """Makes kfp.local use this cache; `cache.n_lookups` shows afterwards whether it did."""
    original = kfp.local.cache.get_local_cache
    kfp.local.cache.get_local_cache = lambda: cache
    try:
        yield
    finally:
        kfp.local.cache.get_local_cache = original


def find_damage(artifact: Path) -> str | None:
    """Compares a cached artifact with its manifests.

    Args:
        artifact: A folder with at least one manifest, or one of kfp's own single files.

    Returns:
        What is wrong with it, None if it is complete and unchanged.
    """
    if artifact.is_file():
        return None
    manifests = sorted(artifact.rglob(manifest.NAME))
    if not manifests:
        return f"{artifact} has no {manifest.NAME}"
    for path in manifests:
        try:
            files: dict[str, str] = json.loads(path.read_bytes())["files"]
        except (ValueError, KeyError) as error:
            return f"{path} is not readable ({error})"
        for name, digest in files.items():
            if not (path.parent / name).is_file():
                return f"{path.parent / name} is missing"
            if manifest.digest_file(path.parent / name) != digest:
                return f"{path.parent / name} has changed since it was written"
    return None


def library_digest() -> str:
    """Returns a short hash of graftline's source and of the library versions that affect results."""
    return digest_of(
        *(Path(str(package.__file__)).parent for package in (graftline, graftline.components, graftline.pipelines))
    )


def _name_only(value: Any) -> Any:
    if isinstance(value, Artifact):
        return f"{value.schema_title} {value.name}"
    return [_name_only(item) for item in value] if isinstance(value, list) else value
