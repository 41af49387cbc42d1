"""Bundles and adapters on disk: manifests, hashes, verification. Safetensors only, and nothing is computed here."""
