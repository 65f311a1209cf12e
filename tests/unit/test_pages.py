"""README and pages: short enough, links that lead somewhere, commands and names that exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from lifting.cli import main
from lifting.experiment.load import load_experiment

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for place in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "lifting/**/README.md")
    for page in ROOT.glob(place)
    if not {"generated", "_build", "node_modules"} & set(page.parts)
)
FENCE = re.compile(r"^```(\S*)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Experiments that a tutorial writes, and words that stand for a name.
OWN = {"plain.yaml", "mine.yaml", "club"}
PLACEHOLDERS = {"EXP", "EXPERIMENT", "NAME", "COMMAND", "PROJECT"}
GENERATED = "generated/"


PAGE = """\
# A page

```python file=said/what.py
WHAT = "hello"
```

```python run
from said.what import WHAT

print(WHAT)
```

```text
only shown
```

```bash run status=3
ls said
exit 3
```
"""


@pytest.fixture(scope="module", autouse=True)
def _one_parser():
    patch = pytest.MonkeyPatch()
    patch.setattr(main, "build_parser", cache(main.build_parser))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def execute():
    spec = importlib.util.spec_from_file_location("execute", ROOT / "docs" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
            arguments = main.parse(words)
        except SystemExit:
            pytest.fail(f"{line} is not understood")
        named = getattr(arguments, "experiment", None)
        assert named is None or named in known | PLACEHOLDERS or not isinstance(named, str), line
        overrides = list(getattr(arguments, "overrides", None) or ())
        data = getattr(arguments, "data", None)
        if data is not None:
            assert data in experiments("data") | OWN | PLACEHOLDERS, line
            overrides += [f"extends=data/{data}"] if data in experiments("data") else []
        if named in experiments("") and data not in OWN:
            load_experiment(named, [word for word in overrides if word != "KEY=VALUE"])


def test_commands_and_scripts_within_the_text_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`lifting ([a-z]\w*)", text):
            assert name in main.COMMANDS, f"{names(page)}: lifting {name}"
        for script in re.findall(r"\bpython ((?:docs|benchmarks|experiments)/\S+\.py)", text):
            assert (ROOT / script).is_file(), f"{names(page)}: {script}"


def test_overlays_that_the_text_names_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"overlay/(\w+)", text):
            assert name in experiments("overlay"), f"{names(page)}: overlay/{name}"
        for name in re.findall(r"\bEXP=(\w+)", text):
            assert name in experiments("") | PLACEHOLDERS, f"{names(page)}: EXP={name}"


def test_marked_blocks_are_run_and_show_what_they_print(execute):
    outputs = execute.execute(PAGE)
    assert outputs == ["", "hello", "what.py"]
    shown = execute.with_outputs(PAGE, outputs)
    assert ":caption: said/what.py" in shown
    assert ":class: output\n\nhello\n```" in shown
    assert "```text\nonly shown\n```" in shown


def test_a_page_that_does_not_do_what_it_says_fails(execute):
    with pytest.raises(execute.PageError, match="expected exit status 0, got 3 of: bash exit 3"):
        execute.execute(PAGE.replace(" status=3", ""))
