"""Evaluates the transfer gain and the release gate."""
