"""Decoding, hashing, and storage of images."""
