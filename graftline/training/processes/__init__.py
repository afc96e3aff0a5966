"""Training in several processes, torch.compile, and the choice of memory layout and precision."""
