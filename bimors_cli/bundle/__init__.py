"""Bundles and adapters on disk: manifests, hashes, verification. Weights are safetensors only; no torch."""
