"""What a user may choose, declared once; no torch, no rasters."""
