"""Engines: who looks at the tiles of a run. Whichever does, the records are the same."""
