"""Class names, split names and groups that file names and JSON records give."""
