"""A map against reference samples."""
