"""kfp.local's cache, made to follow content and to notice damage.

kfp's own local key holds the paths of input artifacts, so that a step that ran again spoils all that follow, and it
trusts a folder that exists. Here the key holds the names of input artifacts, as on a cluster (the digests among the
parameters tell content apart), and a cached artifact counts only if it is whole by its manifest.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import kfp.local.cache
from kfp.dsl import Artifact

import graftline
import graftline.components
import graftline.pipelines
from graftline.config.jobs import DecodeJob, FinetuneJob, PretrainJob, SourceJob
from graftline.runtime import manifest
from graftline.runtime.code_version import digest_of

Told = Callable[[str, Literal["starts", "cached", "done"], Mapping[str, Any]], None]
"""Takes a step's name, what became of it, and its outputs."""


class ContentCache(kfp.local.cache.LocalCache):  # type: ignore[misc]  # kfp is untyped
    """A local cache that tells what it hands out."""

    def __init__(self, root: Path, *, salt: str, told: Told, check: Callable[[], None]) -> None:
        """Opens a cache.

        Args:
            root: Folder of the entries.
            salt: What else a step's result depends on, such as the image's own digest.
            told: Called for each step that is about to start, came from the cache, or is through; from kfp's threads.
            check: Called before each step; may raise to keep it from starting.
        """
        super().__init__(str(root))
        self.asked = 0
        self.bug: Exception | None = None
        self._salt, self._told, self._check = salt, told, check
        self._names: dict[str, str] = {}

    def compute_key(
        self, component_name: str, image: str, full_command: list[str], arguments: dict[str, Any], **kept: Any
    ) -> str:
        """Computes a step's key from names and parameters, never from paths."""
        self._check()
        self.asked += 1
        named = {name: _name_only(value) for name, value in arguments.items()}
        key: str = super().compute_key(component_name, image + self._salt, full_command, named, **kept)
        with self._bugs_kept():
            self._names[key] = step_name(component_name, arguments)
        return key

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns a step's outputs, or None where there are none or where an artifact is not whole any more."""
        outputs: dict[str, Any] | None = super().get(key)
        name = self._names[key]
        for artifact in (value for value in (outputs or {}).values() if isinstance(value, Artifact)):
            if damage := damage_of(Path(artifact.uri)):
                logging.warning("%s: cached, but %s; made again", name, damage)
                outputs = None
                break
        with self._bugs_kept():
            self._told(name, "starts" if outputs is None else "cached", outputs or {})
        return outputs

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keeps a step's outputs."""
        super().put(key, outputs)
        with self._bugs_kept():
            self._told(self._names[key], "done", outputs)

    @contextmanager
    def _bugs_kept(self) -> Iterator[None]:
        """Keeps what is raised: kfp's loops swallow it and say only which loop failed."""
        try:
            yield
        except Exception as error:
            self.bug = error
            raise


@contextmanager
def serving(cache: ContentCache) -> Iterator[None]:
    """Makes kfp.local use this cache; `cache.asked` tells afterwards whether it did."""
    kfps_own = kfp.local.cache.get_local_cache
    kfp.local.cache.get_local_cache = lambda: cache
    try:
        yield
    finally:
        kfp.local.cache.get_local_cache = kfps_own


def step_name(component: str, arguments: Mapping[str, Any]) -> str:
    """Returns the name that a step goes by in logs and `run.json`.

    Args:
        component: kfp's name of the component, such as `comp-finetune-2`.
        arguments: What the component is called with.
    """
    base = re.sub(r"-\d+$", "", component.removeprefix("comp-"))
    if base == "preprocess":
        source = SourceJob.model_validate_json(arguments["job"]) if arguments.get("target") else None
        return f"preprocess-{source.preprocess.label if source else 'target'}"
    if base == "decode":
        return f"decode-{DecodeJob.model_validate_json(arguments['job']).name}"
    if base == "merge":
        return "merge-target"
    if base == "pretrain":
        return f"pretrain-{PretrainJob.model_validate_json(arguments['job']).label}"
    if base == "finetune":
        return f"{arguments['phase']}-{FinetuneJob.model_validate_json(arguments['candidate']).name}"
    if base == "halve":
        return "halve-2" if arguments.get("before") else "halve-1"
    return base


def damage_of(artifact: Path) -> str | None:
    """Says what is wrong with a cached artifact, by the manifests in it; None if it is whole.

    Args:
        artifact: A folder with at least one manifest, or a single file that is one of kfp's own.
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
                return f"{path.parent / name} has other bytes than were written"
    return None


def library_digest() -> str:
    """Returns a short hash of graftline's own source and of the versions that numbers depend on."""
    return digest_of(
        *(Path(str(package.__file__)).parent for package in (graftline, graftline.components, graftline.pipelines))
    )


def _name_only(value: Any) -> Any:
    if isinstance(value, Artifact):
        return f"{value.schema_title} {value.name}"
    return [_name_only(item) for item in value] if isinstance(value, list) else value
