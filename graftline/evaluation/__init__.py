"""Metrics with confidence intervals, problem kinds, transfer gain, calibration and the release gate."""
