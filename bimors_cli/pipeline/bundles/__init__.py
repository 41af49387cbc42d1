"""Bundles made, imported and measured."""
