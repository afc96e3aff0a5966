"""Assignment of samples to training, validation, and test splits."""
