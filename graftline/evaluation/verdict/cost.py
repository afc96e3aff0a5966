"""Computes the transfer gain at equal cost, with the training of the source counted as cost of the transfer."""

from graftline.evaluation.result import EqualCost
from graftline.models.checkpoint import CandidateResult, CheckpointManifest


def equal_cost(
    source: CheckpointManifest, chosen: CandidateResult, control: CandidateResult, gain: float, *, converged: bool
) -> EqualCost | None:
    """Returns the gain with the training images seen by the source counted as cost of the transfer.

    Args:
        source: The checkpoint that the chosen candidate started from.
        chosen: Result of the chosen candidate.
        control: Result of the control.
        gain: The transfer gain.
        converged: Whether the control converged.

    Returns:
        The gain at equal cost, or None if the source was not trained in this run.
    """
    if not source.row.examples_seen or source.dataset_digest is None:
        return None
    total = source.row.examples_seen + chosen.examples_seen
    counts = f"source and target took {total:,} presentations, the control {control.examples_seen:,}"
    value: float | None = gain
    if control.examples_seen >= total:
        note = f"{counts}: the control had at least as many, so the gain stands at equal cost"
    elif converged:
        note = f"{counts}: the control had fewer but had converged, so more training would not change the gain"
    else:
        value = None
        note = f"{counts}: it had fewer and still improved, so the gain at equal cost is not known"
    return EqualCost(
        source_examples_seen=source.row.examples_seen,
        transfer_examples_seen=total,
        control_examples_seen=control.examples_seen,
        value=value,
        note=note,
    )
