"""Sphinx: the manual. `make docs` builds it; a warning is an error; nothing is fetched when it is read."""

import pkgutil
import shutil
import sys
from importlib import import_module, metadata
from pathlib import Path

from docutils import nodes

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
napoleon_use_ivar = True
napoleon_custom_sections = ["Source"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "parallel": 2,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "reset_modules": ("gallery_reset.reset_jax", "matplotlib"),
    "write_computation_times": False,
}

# The pages of the API are written from the package itself: the door, then each of its rooms.
HIDDEN = {"__main__", "base", "cli"}  # what users need of them stands at the door, or in the page on the command
PAGE = """# {title}

```{{eval-rst}}
.. automodule:: {module}
   :members:
   :undoc-members:
   {options}
```
"""


def _of_another_room(member, room):
    origin = getattr(member, "__module__", None) or ""
    return origin.startswith("implicitcg.") and not (origin == room or origin.startswith(room + "."))


def write_api_pages(app):
    """docs/api/generated/: one page a room. What only repeats names of other rooms is no target of the index."""
    folder = HERE / "api" / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    package = import_module("implicitcg")
    pages = {
        "door": ("implicitcg", ":imported-members:\n   :no-index:"),
        "deq_flax": ("implicitcg.deq.flax", ":inherited-members: Module"),
    }
    for room in pkgutil.iter_modules(package.__path__):
        if room.name in HIDDEN:
            continue
        module = import_module(f"implicitcg.{room.name}")
        origins = [getattr(member, "__module__", "") or "" for member in vars(module).values()]
        makes_its_own = any(origin.startswith(module.__name__) for origin in origins)
        # a room of one file that makes its own shows these alone: what it imports has its page elsewhere
        one_file = not hasattr(module, "__path__")
        options = [":imported-members:"] * (not (makes_its_own and one_file)) + [":no-index:"] * (not makes_its_own)
        # what a room hands on from another is described there
        names = [name for name, member in vars(module).items() if _of_another_room(member, module.__name__)]
        if makes_its_own and names:
            options.append(f":exclude-members: {', '.join(names)}")
        pages[room.name] = (module.__name__, "\n   ".join(options))
    for page, (module, options) in pages.items():
        (folder / f"{page}.md").write_text(PAGE.format(title=f"`{module}`", module=module, options=options))


# MathJax is copied next to the pages, so that they read without a network.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}


def copy_mathjax(app, error):
    """The one component that the pages load, its fonts and the TeX extensions that it may ask for."""
    if error is not None or app.builder.format != "html":
        return
    package = metadata.distribution("sphinx-mathjax-offline")
    source = Path(str(package.locate_file("sphinx-mathjax-offline"))) / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in ("output/chtml/fonts", "input/tex/extensions"):
        shutil.copytree(source / part, target / part, dirs_exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)


def shorten_types(app, doctree):
    """Types as a reader would write them: `Float[Array, "n p"]`."""
    for text in list(doctree.findall(nodes.Text)):
        if "jaxlib._jax." in text:
            text.parent.replace(text, nodes.Text(text.replace("jaxlib._jax.", "")))


def skip_requests(app, what, name, obj, skip, options):
    """Leave out `set_fit_request` and its like, which scikit-learn writes, with links into its own manual."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_requests)
    app.connect("doctree-read", shorten_types)
    app.connect("builder-inited", write_api_pages)
    app.connect("build-finished", copy_mathjax)
