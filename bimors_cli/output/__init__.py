"""Writing a layer: schemas, formats, styles, label raster."""
