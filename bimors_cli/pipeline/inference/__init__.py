"""Tiles in, results out: loading, reading, predicting, caching."""
