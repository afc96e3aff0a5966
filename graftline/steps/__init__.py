"""The pipeline's steps, one function a file, the same names as the components."""
