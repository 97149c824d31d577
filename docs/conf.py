"""Sphinx: the manual. `make docs` builds it; a warning is an error; nothing is fetched when it is read."""

import shutil
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

project = "implicitcg"
author = "The implicitcg developers"
copyright = "The implicitcg developers"
release = metadata.version("implicitcg")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "sg_execution_times.rst"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "implicitcg"
html_static_path = ["_static"]
html_show_sphinx = False

# Docstrings: one backtick is code, annotations stay as they are written.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"show-inheritance": True}
python_maximum_signature_line_length = 100
napoleon_use_rtype = False
napoleon_custom_sections = ["Source"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "reset_modules": ("gallery_reset.reset_jax", "matplotlib"),
    "plot_gallery": "True",
}

# MathJax is copied next to the pages, so that they read without a network.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}, "tex": {"packages": {"[+]": ["ams"]}}}


def copy_mathjax(app, error):
    """The one component that the pages load, its fonts and the TeX extensions that it may ask for."""
    if error is not None or app.builder.format != "html":
        return
    source = Path(
        str(metadata.distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax"))
    )
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in ("output/chtml/fonts", "input/tex/extensions"):
        shutil.copytree(source / part, target / part, dirs_exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)


def setup(app):
    app.connect("build-finished", copy_mathjax)
