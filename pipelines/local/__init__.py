"""Runs a DAG on this machine with kfp.local: run folder, cache, live progress."""
