"""Opening the journal of a step's training: its identity and the location of its states."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graftline.runtime.cache_location import CHECKPOINTS, NOWHERE
from graftline.runtime.code_version import code_version
from graftline.training.processes import distributed
from graftline.training.resume import states
from graftline.training.resume.journal import SAVE_INTERVAL, Journal
from graftline.training.resume.saves import StoreWithInitialState
from graftline.training.resume.states import state_files

SAVE_INTERVAL_VARIABLE = "GRAFTLINE_CHECKPOINT_SECONDS"
"""Environment variable: seconds between two saves, for machines that are preempted often."""


@contextmanager
def open_journal(
    training_identity: dict[str, Any], uri: str | None, *, rung: int | None = None, initial: Path | None = None
) -> Iterator[Journal]:
    """Opens the journal of a training; inside the context, SIGTERM waits until the state is saved.

    Args:
        training_identity: JSON that identifies the training: job, digests of source and data. The code version is
            added.
        uri: From the config; None: from the environment.
        rung: Number of images seen after which the training pauses. Each rung has its own location, because it must
            not resume from states of later rungs.
        initial: Folder with the state of the previous rung.

    Raises:
        RefusedError: A state is that of another training.
    """
    identity = {**training_identity, "code": code_version()}
    location = uri or os.environ.get(CHECKPOINTS, NOWHERE)
    suffix = "" if rung is None else f"-{rung}"
    store = (
        None
        if location == NOWHERE
        else distributed.shared_store(lambda: states.open_directory(location, identity, suffix))
    )
    state = None if initial is None else state_files.read_state(initial, identity)
    is_enabled = store is not None or state is not None or rung is not None
    interval = float(os.environ.get(SAVE_INTERVAL_VARIABLE, SAVE_INTERVAL))
    journal = Journal(StoreWithInitialState(state, store) if is_enabled else None, interval, identity)
    try:
        with journal.deferred_signals():
            yield journal
    finally:
        journal.close()
