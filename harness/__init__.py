"""Drive a mosaic pipeline, record what it does, and judge the record."""
