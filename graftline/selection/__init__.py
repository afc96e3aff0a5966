"""Selection of the best fine-tuning candidate on the validation split."""
