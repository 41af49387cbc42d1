"""Evaluation: the paper's protocols on data sets, and maps against a reference."""
