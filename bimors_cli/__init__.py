"""bimors: label a georeferenced raster tile by tile with your own words."""

__version__ = "0.1.0"
