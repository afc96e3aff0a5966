"""Runs DAGs on a cluster: compiled to the YAML that KFP takes."""
