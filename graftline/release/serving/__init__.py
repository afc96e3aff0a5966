"""Prediction with a released model and the model repository layout for Triton."""
