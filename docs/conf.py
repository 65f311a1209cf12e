"""The site: guides and tutorials that are run, and reference made from the code itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from pydoc import locate

from docutils.nodes import TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import execute  # noqa: E402
import generate  # noqa: E402

import lifting  # noqa: E402

project = "lifting"
author = copyright = "the authors of lifting"
version = release = lifting.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"lifting {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
toc_object_entries = False  # thousands of them would be rendered on every page
smartquotes = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes")]
default_role = "code"
nitpicky = True
# The site is built without a network: names of other packages are not looked up.
nitpick_ignore_regex = [("py:.*", r"(?!lifting\b).*")]

_outputs: dict[str, list[str]] = {}


def _prepare(app: Sphinx) -> None:
    """Write the generated pages, and execute the pages that have something to run."""
    generate.generate()
    marked = [
        str(path)
        for path in sorted(DOCS.rglob("*.md"))
        if generate.GENERATED not in path.parents
        and execute.blocks(path.read_text(encoding="utf-8"))
    ]
    target = Path(app.outdir) / "outputs.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DOCS_OUTPUTS": str(target)}
    command = [sys.executable, str(DOCS / "execute.py"), *marked]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise ExtensionError("a page's commands do not do what it says, see above")
    _outputs.update(json.loads(target.read_text(encoding="utf-8")))
    target.unlink()


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put outputs into pages that were executed, and make links those of the site."""
    if docname not in generate.pages():
        return
    printed = _outputs.get(str(DOCS / f"{docname}.md"))
    text = source[0] if printed is None else execute.with_outputs(source[0], printed)
    source[0] = generate.relinked(text, docname)


def _unlinked(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement
) -> TextElement | None:
    """A name that exists, but that no page writes out, is shown without a link; others fail."""
    target = str(node.get("reftarget", ""))
    return content if target.startswith("lifting.") and locate(target) is not None else None


def _nameless(
    app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object
) -> bool | None:
    """Fields of a named tuple are described by its docstring; Python's own words say nothing."""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", _prepare)
    app.connect("source-read", _read)
    app.connect("missing-reference", _unlinked)
    app.connect("autodoc-skip-member", _nameless)
    return {"parallel_read_safe": False}
