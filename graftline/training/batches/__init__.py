"""Batches: samples, their order, augmentation, mixing, class balance, losses."""
