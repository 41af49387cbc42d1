"""Classifiers in closed form, learned from a few examples; arrays only."""
