"""Engines by name; replaced by the table."""

LOCAL, RAY = "local", "ray"
ENGINES = {"local": "this machine", "ray": "a Ray cluster"}
