"""Scores of predictions and their charts, by torchmetrics, scipy and matplotlib; imports no other room."""
