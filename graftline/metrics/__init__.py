"""(logits, labels) to named numbers, one family a file."""
