"""Verdicts on the transfer gain and on a release."""
