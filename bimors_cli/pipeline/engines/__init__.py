"""Engines compute the tiles of a run. The results are the same with every engine."""
