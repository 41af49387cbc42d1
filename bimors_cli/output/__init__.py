"""The layer on disk: its rows, its formats, its style and its quick look."""
