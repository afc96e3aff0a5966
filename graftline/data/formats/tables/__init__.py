"""What tables share, be they text or Parquet: their columns, rows, the files that rows name, and where tables lie."""
