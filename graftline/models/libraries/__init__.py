"""Backbones from torchvision and timm, the small networks, and readers of published weights."""
