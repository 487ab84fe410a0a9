"""Sphinx's configuration; `python docs/build.py` stages the pages that it reads."""

import c2s_data

project = "cryo2struct-store"
release = version = c2s_data.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
copybutton_exclude = ".linenos, .gp"
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = "cryo2struct-store"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_static_path: list[str] = []
