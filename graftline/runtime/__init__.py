"""Errors, events, signals, artifact manifests and the cache location, shared by all other packages."""
