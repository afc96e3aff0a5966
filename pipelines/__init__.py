"""The DAGs: which step feeds which, and on what hardware."""
