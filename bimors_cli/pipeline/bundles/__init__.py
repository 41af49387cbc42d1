"""Making, importing and benchmarking bundles."""
