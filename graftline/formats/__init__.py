"""Raw data on disk to samples; one format a file, one table."""
