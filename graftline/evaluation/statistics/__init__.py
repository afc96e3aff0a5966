"""Confidence intervals and bootstrap resampling."""
