"""Compares an exported multilabel model with the tested model."""

import numpy as np
from scipy.special import expit

from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.same_model import (
    TOLERANCE,
    ExportedOutputs,
    find_mismatches,
    first_rows,
    match_finding,
)


def check_same_labels(exported: ExportedOutputs) -> tuple[list[Finding], list[int]]:
    """Compares the labels that the exported file predicts with those of the tested model.

    Returns:
        Findings, and the rows in which at least one label differs.
    """
    logits, evaluated, temperature = exported.outputs, exported.evaluated, exported.temperature
    findings = find_mismatches(
        logits,
        evaluated,
        expit(logits.astype(np.float64) / temperature),
        exported.probabilities,
        f"sigmoid(logits / {temperature:.4g})",
    )
    allowed = TOLERANCE * float(np.abs(evaluated).max())
    other = (logits > 0) != (evaluated > 0)
    rows = np.flatnonzero(other.any(1))
    real = np.flatnonzero((other & (np.abs(evaluated) > allowed)).any(1)).tolist()
    if real:
        findings.append(
            Finding(
                "reject",
                f"The file gives other labels than the tested model on {len(real)} samples "
                f"where that was no tie: rows {first_rows(real)} of the test split.",
            )
        )
    elif len(rows):
        findings.append(
            Finding(
                "promote",
                f"The file gives other labels on {len(rows)} samples whose probability the "
                f"tested model held for one half: rows {first_rows(rows.tolist())} of test.",
            )
        )
    return findings or [match_finding(logits, evaluated)], rows.tolist()
