"""Scenes: opening a raster, cutting it into a grid, reading its tiles, their polygons and the area of interest."""
