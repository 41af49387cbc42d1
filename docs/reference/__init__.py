"""The documentation site: pages of this repository, and a reference that is generated from the declarations.

``python -m docs.reference FOLDER`` writes the sources of the site to a folder; `make docs` has Sphinx build it.
"""
