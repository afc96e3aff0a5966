"""Networks split into backbone and head, by name."""
