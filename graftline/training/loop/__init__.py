"""The training loop: gradients, optimizers, schedules, validation, early stopping."""
