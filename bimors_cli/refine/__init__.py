"""Labels of all tiles, refined together; arrays only."""
