"""Tables whose rows name or hold images: CSV, TSV, JSON Lines and Parquet."""
