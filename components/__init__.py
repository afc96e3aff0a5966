"""KFP faces of the steps: typed artifacts in, paths out, one call."""
