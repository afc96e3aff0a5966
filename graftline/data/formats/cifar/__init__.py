"""CIFAR-10 and CIFAR-100 in their original binary or Python batches."""
