"""Access to local files and to Google Cloud Storage."""
