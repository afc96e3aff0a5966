"""Heads fitted to convergence on cached features."""
