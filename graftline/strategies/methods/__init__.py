"""Tensor code of single strategies: losses, layers and searches that need PyTorch when they are imported."""
