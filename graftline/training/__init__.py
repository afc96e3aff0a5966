"""Training: the loop, batches, heads, recipes, resume from saved states, and several processes."""
