"""COCO annotations with their images."""
