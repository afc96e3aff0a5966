"""Folder trees of images: labeled by folder name, packed in an archive, or unlabeled."""
