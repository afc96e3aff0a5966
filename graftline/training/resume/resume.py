"""The journal of a step's training: what it has to share with one that was killed, and where states are kept."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graftline.runtime.cache_location import CHECKPOINTS, NOWHERE
from graftline.runtime.code_version import code_version
from graftline.training.processes import distributed
from graftline.training.resume import states
from graftline.training.resume.journal import EVERY, Journal
from graftline.training.resume.saves import Continued
from graftline.training.resume.states import step

SECONDS = "GRAFTLINE_CHECKPOINT_SECONDS"
"""Environment variable: seconds between two states, for those who lose their machines often."""


@contextmanager
def journal(
    told: dict[str, Any], uri: str | None, *, rung: int | None = None, first: Path | None = None
) -> Iterator[Journal]:
    """Opens the journal of a training; inside, SIGTERM waits until a state is saved.

    Args:
        told: What makes the training itself: job, source's digest, data's digest; the code is added.
        uri: From the config; None: as the environment says.
        rung: Presentations after which it pauses: another place, for it must not see states from beyond.
        first: Folder with the state of the rung before.

    Raises:
        RefusedError: A state is of another training.
    """
    identity = {**told, "code": code_version()}
    place = uri or os.environ.get(CHECKPOINTS, NOWHERE)
    saves = (
        None
        if place == NOWHERE
        else distributed.of_all(lambda: states.at(place, identity, "" if rung is None else f"-{rung}"))
    )
    start = None if first is None else step.read(first, identity)
    keeps = saves is not None or start is not None or rung is not None
    opened = Journal(Continued(start, saves) if keeps else None, float(os.environ.get(SECONDS, EVERY)), identity)
    try:
        with opened.until_told():
            yield opened
    finally:
        opened.close()
