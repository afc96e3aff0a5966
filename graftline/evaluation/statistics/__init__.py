"""Confidence intervals and resampling."""
