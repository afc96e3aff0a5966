"""The data page of a dataset."""
