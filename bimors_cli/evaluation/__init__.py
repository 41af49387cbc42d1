"""Evaluation of heads by the protocols of the literature, and accuracy assessment of maps."""
