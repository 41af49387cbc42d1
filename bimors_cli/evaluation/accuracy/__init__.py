"""Accuracy assessment: a map against reference samples."""
