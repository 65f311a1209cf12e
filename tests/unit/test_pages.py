"""README and pages: short enough, links that lead somewhere, commands and names that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lifting.cli.main import COMMANDS, parse

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for place in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "lifting/**/README.md")
    for page in ROOT.glob(place)
    if not {"generated", "_build"} & set(page.parts)
)
FENCE = re.compile(r"^```(\S*)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Experiments that a tutorial writes, and words that stand for a name.
OWN = {"plain.yaml", "mine.yaml", "club"}
PLACEHOLDERS = {"EXP", "EXPERIMENT", "NAME", "COMMAND", "PROJECT"}
GENERATED = "generated/"


def names(page):
    return page.relative_to(ROOT).as_posix()


def fences(page):
    return FENCE.findall(page.read_text(encoding="utf-8"))


def commands(page):
    """Words of each ``lifting`` command that stands on a line of its own in a block."""
    found = []
    for language, mark, body in fences(page):
        if language not in ("", "bash") or "status=2" in mark:
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if line.startswith("lifting "):
                words = shlex.split(line.replace("...", ""), comments=True)[1:]
                found.append([word for word in words if not word.startswith("[")])
    return [words for words in found if words and "]" not in "".join(words)]


def experiments(folder):
    return {path.stem for path in (ROOT / "experiments" / folder).glob("*.yaml")}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_to_files_of_the_repository(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    inside = [target.partition("#")[0] for target in LINK.findall(text) if "://" not in target]
    wrong = [
        target
        for target in inside
        if target and GENERATED not in target and not (page.parent / target).exists()
    ]
    assert not wrong, f"{names(page)} links to what is not there: {wrong}"


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=names)
def test_commands_are_parsed_and_name_what_exists(page):
    known = experiments("") | OWN
    for words in commands(page):
        if words[0] == "COMMAND" or words[0].startswith("-"):
            continue
        line = f"{names(page)}: lifting {' '.join(words)}"
        try:
            arguments = parse(words)
        except SystemExit:
            pytest.fail(f"{line} is not understood")
        named = getattr(arguments, "experiment", None)
        assert named is None or named in known | PLACEHOLDERS or not isinstance(named, str), line
        data = getattr(arguments, "data", None)
        assert data is None or data in experiments("data") | OWN | PLACEHOLDERS, line
        for override in getattr(arguments, "overrides", None) or ():
            key, _, value = override.partition("=")
            if key == "extends":
                assert (ROOT / "experiments" / f"{value}.yaml").is_file(), line


def test_commands_and_scripts_within_the_text_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`lifting ([a-z]\w*)", text):
            assert name in COMMANDS, f"{names(page)}: lifting {name}"
        for script in re.findall(r"\bpython ((?:docs|benchmarks|experiments)/\S+\.py)", text):
            assert (ROOT / script).is_file(), f"{names(page)}: {script}"


def test_overlays_that_the_text_names_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"overlay/(\w+)", text):
            assert name in experiments("overlay"), f"{names(page)}: overlay/{name}"
        for name in re.findall(r"\bEXP=(\w+)", text):
            assert name in experiments("") | PLACEHOLDERS, f"{names(page)}: EXP={name}"
