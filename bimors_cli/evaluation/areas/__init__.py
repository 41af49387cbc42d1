"""Probability samples of a map, and what they say of its accuracy and of the areas of its classes."""
