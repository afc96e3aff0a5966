"""What is trained, from what, at which rate; one strategy a file, one table."""
