"""Two classified layers compared: what changed."""
