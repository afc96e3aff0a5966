"""Decoding of raw data in shards, and merging of shards to a dataset."""
