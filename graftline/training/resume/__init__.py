"""Saving the state of a training and resuming it to the same result."""
