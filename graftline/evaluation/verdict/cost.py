"""The gain where the source's training is charged to the transfer."""

from graftline.evaluation.result import EqualCost
from graftline.models.checkpoint import CheckpointManifest, Row


def equal_cost(
    source: CheckpointManifest, chosen: Row, control: Row, gain: float, *, converged: bool
) -> EqualCost | None:
    """Charges the source's presentations to the transfer.

    Args:
        source: The checkpoint that the chosen candidate started from.
        chosen: The chosen candidate's row.
        control: The control's row.
        gain: The transfer gain in accuracy.
        converged: Whether the control stopped by itself.

    Returns:
        None where the source was not trained in this run.
    """
    if not source.row.presentations or source.dataset_digest is None:
        return None
    total = source.row.presentations + chosen.presentations
    counts = f"source and target took {total:,} presentations, the control {control.presentations:,}"
    value: float | None = gain
    if control.presentations >= total:
        note = f"{counts}: the control had at least as many, so the gain stands at equal cost"
    elif converged:
        note = f"{counts}: the control had fewer but had converged, so more training would not change the gain"
    else:
        value = None
        note = f"{counts}: it had fewer and still improved, so the gain at equal cost is not known"
    return EqualCost(
        source_presentations=source.row.presentations,
        transfer_presentations=total,
        control_presentations=control.presentations,
        value=value,
        note=note,
    )
