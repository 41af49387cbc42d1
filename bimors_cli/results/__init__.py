"""Finished layers, read back: previews, reports, searches."""
