"""Generators of the pages that are derived from code or measurements."""
