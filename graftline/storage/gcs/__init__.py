"""Google Cloud Storage: listings, downloads, uploads and error messages."""
