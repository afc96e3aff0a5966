"""Cloud Storage: listing, fetching, putting, and what its answers mean."""
