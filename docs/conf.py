"""Settings of Sphinx for the documentation site: `make docs`."""

from __future__ import annotations

from bimors_cli.version import __version__

project = "bimors"
author = "The bimors maintainers"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"
default_role = "code"
smartquotes = False  # it would join the two hyphens of an option
language = "en"

myst_heading_anchors = 6
myst_enable_extensions = ["html_image"]

autodoc_typehints = "none"  # the docstrings name the types
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_param = False  # types are prose here: "path or sequence of paths"
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"bimors {release}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_depth": 4,
    "show_nav_level": 1,
    "header_links_before_dropdown": 6,
    "footer_start": ["sphinx-version"],
    "footer_end": [],
    "navbar_align": "left",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
