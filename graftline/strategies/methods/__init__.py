"""PyTorch code of individual strategies: losses, layers and searches; importing it imports PyTorch."""
