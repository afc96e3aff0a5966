"""Steps of the pipeline, one function per module, with the same names as the components."""
