"""Finished tiles on disk, until the layer holds them."""
