"""From raw samples to a dataset: decoded, hashed, checked, split, described."""
