"""Scenes: opening rasters, the tile grid, reading tiles, tile polygons and the area of interest."""
