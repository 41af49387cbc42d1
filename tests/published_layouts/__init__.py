"""The layouts in which the models of the catalog are published, with random weights and few, narrow layers.

A layout is a row of `tests.published_layouts.layouts.LAYOUTS`, by the name of its source in ``catalogue.json``: names,
shapes and dtypes of the tensors, how they are packed into files, and the settings next to them. What is known of the
real files is checked in ``test_layouts.py``: the sizes in bytes that the hub states follow from the names, shapes and
dtypes of the full-size layout, and settings whose hash the catalog has are those files, byte by byte.
"""
