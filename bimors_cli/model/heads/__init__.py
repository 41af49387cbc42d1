"""The heads, one a file."""
