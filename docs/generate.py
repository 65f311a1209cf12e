"""Pages of the site that stand elsewhere: READMEs, tables, records, commands, docstrings.

They are written below ``docs/generated``, which is made anew with every build and not kept.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

DOCS = Path(__file__).parent
ROOT = DOCS.parent
GENERATED = DOCS / "generated"
# Modules whose import does something.
ACTING = ("lifting.files.sandbox_child",)
WRITTEN_OUT = ("lifting", *(f"lifting.{room}" for room in (
    "skeleton", "geometry", "metrics", "metrics.functional", "nn", "methods",
)))  # fmt: skip
_IMPORT = re.compile(r"^from (lifting[\w.]*) import", re.MULTILINE)
_GROUPS = {
    "Experiments": ("", "`lifting train NAME`, or `make train EXP=NAME`; all start from `base`."),
    "Data": ("data", "Laid over an experiment by `--data NAME`, or `extends=data/NAME`."),
    "Overlays": ("overlay", "Laid over any experiment by `extends=overlay/NAME`."),
    "Sweeps": ("sweep", "Grids of experiments: `lifting sweep NAME`."),
}
_LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def pages() -> dict[str, Path]:
    """The file of the repository that each page of the site shows, by the page's name."""
    found = {"generated/contributing": "CONTRIBUTING.md", "generated/changelog": "CHANGELOG.md"}
    shown = {name: ROOT / file for name, file in found.items()}
    for file in sorted((ROOT / "lifting").rglob("README.md")):
        parts = file.relative_to(ROOT / "lifting").parent.parts
        if "node_modules" in parts:  # what `make viewer` installs
            continue
        room = parts if parts[0] == "methods" else ("rooms", *parts)
        shown["/".join(("generated", *room))] = file
    for file in sorted((ROOT / "benchmarks").glob("*.md")):
        shown[f"generated/benchmarks/{file.stem}"] = file
    own = (p for p in DOCS.rglob("*.md") if "generated" not in p.parts)
    shown |= {p.relative_to(DOCS).with_suffix("").as_posix(): p for p in own}
    return shown


def relinked(text: str, page: str) -> str:
    """The text of a page with links that work in the site.

    Links of a file go to other files of the repository, which works where it is looked at there.
    Here they go to the page that shows the file; files without a page are named, not linked.

    Args:
        text: Of the file.
        page: Name of the page.
    """
    shown = pages()
    origin = shown[page].parent
    by_file = {file: name for name, file in shown.items()} | {ROOT / "README.md": "index"}

    def link(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        file = Path(os.path.normpath(origin / target))
        here = DOCS / Path(page).parent
        if match["mark"]:
            return f"![{match['text']}]({os.path.relpath(file, here)})"
        if file in by_file:
            place = os.path.relpath(DOCS / by_file[file], here)
            return f"[{match['text']}]({place}.md{'#' if anchor else ''}{anchor})"
        path = file.relative_to(ROOT).as_posix()
        return match["text"] if path in match["text"] else f"{match['text']} (`{path}`)"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(p if p.startswith("```") else _LINK.sub(link, p) for p in parts)


def generate() -> None:
    """Write all of them."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    for name, file in pages().items():
        if name.startswith("generated/"):
            _write(name, file.read_text(encoding="utf-8"), ".md")
    _write("generated/experiments", "\n".join(_experiments()), ".md")
    _write("generated/commands", "\n".join(_commands()), ".md")
    _write("generated/leaderboard", "\n".join(_leaderboard()), ".md")
    for name, text in _reference():
        _write(f"generated/api/{name}", text, ".rst")


def _write(name: str, text: str, suffix: str) -> None:
    path = DOCS / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _experiments() -> Iterator[str]:
    """Every file of ``experiments``, with the comments that describe its keys."""
    yield from ("# Every experiment", "")
    yield "`lifting experiments NAME` prints one with all its keys resolved."
    for title, (folder, words) in _GROUPS.items():
        yield from ("", f"## {title}", "", words)
        for file in sorted((ROOT / "experiments" / folder).glob("*.yaml")):
            text = file.read_text(encoding="utf-8")
            described = yaml.safe_load(text).get("description")
            yield from ("", f"### {file.stem}", "", *([f"{described}.", ""] if described else []))
            yield from ("```yaml", text.rstrip(), "```")


def _leaderboard() -> Iterator[str]:
    """The recorded leaderboards, to be sorted."""
    from lifting.studies.board_page import board_lines

    yield from ("# Leaderboard", "")
    yield "`lifting leaderboard --page FILE ...` makes such a page of your own records, too."
    yield from ("", *board_lines(sorted((ROOT / "experiments" / "curves").glob("*.json"))), "")


def _commands() -> Iterator[str]:
    """The help of every command."""
    from lifting.cli.main import build_parser

    os.environ["COLUMNS"] = "90"
    yield from ("# Every command", "", "What `lifting COMMAND --help` prints.")
    yield from _helps(build_parser(), "##")


def _helps(parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    yield from ("", f"{level} {parser.prog}", "", "```text", parser.format_help().rstrip(), "```")
    for action in inner:
        for below in action.choices.values():
            yield from _helps(below, "###" if below.prog.count(" ") > 1 else "##")


def _reference() -> Iterator[tuple[str, str]]:
    """A page for each package: its docstring, and its modules.

    Everything public is written out of the top-level modules, of the rooms in ``WRITTEN_OUT``, of
    every ``config``, and of each module that a page of the site imports from. Of the others there
    is what they are for.
    """
    import lifting

    packages: dict[str, list[str]] = {"lifting": []}
    for module in pkgutil.walk_packages(lifting.__path__, "lifting."):
        parent, _, name = module.name.rpartition(".")
        if not name.startswith("_") and module.name not in ACTING:
            packages.setdefault(module.name if module.ispkg else parent, []).extend(
                [] if module.ispkg else [module.name]
            )
    texts = (file.read_text(encoding="utf-8") for file in DOCS.rglob("*.md"))
    imported = {name for text in texts for name in _IMPORT.findall(text)}
    for package, modules in packages.items():
        below = [p for p in packages if p.rpartition(".")[0] == package]
        lines = [package, "=" * len(package), "", f".. automodule:: {package}", ""]
        if package in imported:
            lines += ["   :members:", "   :member-order: bysource", ""]
        if below:
            lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   {p}" for p in below), ""]
        for module in modules:
            lines += [module, "-" * len(module), "", f".. automodule:: {module}"]
            written = package in WRITTEN_OUT or module.endswith(".config") or module in imported
            if written:
                lines += ["   :members:", "   :show-inheritance:", "   :member-order: bysource"]
            lines.append("")
        yield package, "\n".join(lines)
