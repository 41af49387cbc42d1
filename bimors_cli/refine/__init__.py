"""Joint refinement of the labels of all tiles; numpy only."""
