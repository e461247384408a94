"""What README and documentation show works: Python runs, recipes read, commands parse; slowly, all of it runs."""

import ast
import doctest
import re
import sys
import textwrap

import pytest

from docs.blocks import (
    ALL,
    NOT_RUN,
    PAGES,
    ROOT,
    STUDY,
    blocks,
    check_toml,
    parse,
    read_varied,
    run_command,
    run_python,
    shortened,
)  # fmt: skip
from thalweg.recipe.roles import CATALOGUES


@pytest.fixture(autouse=True)
def as_they_were():
    """A page adds a technique to the catalogue; no other test is to see it."""
    before = {role: dict(catalogue) for role, catalogue in CATALOGUES.items()}
    yield
    for role, catalogue in CATALOGUES.items():
        catalogue.clear()
        catalogue.update(before[role])


def of(language):
    return [pytest.param(block, id=str(block)) for block in ALL if block.language == language]


def commands():
    return [pytest.param(words, id=f"{block} {' '.join(words[:3])}") for block in ALL for words in block.commands]


def test_blocks_are_of_known_languages():
    assert {block.language for block in ALL} <= {"python", "sh", "toml", "text", ""}
    assert sum(block.language == "python" for block in ALL) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_that_does_not_train_runs(page, tmp_path):
    told = {}
    for block in blocks(page):
        if block.language != "python" or "<!-- " in block.text or STUDY.search(block.text):
            continue
        if block.title:
            (tmp_path / block.title).write_text(block.text)
        if ">>>" in block.text:
            test = doctest.DocTestParser().get_doctest(block.text, told, str(block), str(page), block.line)
            assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0, block
            told = test.globs
        else:
            run_python(block.text, tmp_path)


def test_functions_of_examples_are_shown_as_they_are():
    """Where a page says from which they are, just before the block."""
    page = ROOT / "docs/tutorials/winner.md"
    said = re.findall(r"<!-- from (\S+): (\w+) -->\n```python\n(.*?)\n```", page.read_text(), re.DOTALL)
    assert len(said) == page.read_text().count("<!-- ") == 3
    for file, name, shown in said:
        source = (ROOT / file).read_text()
        found = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        assert shown == textwrap.dedent(ast.get_source_segment(source, found[name], padded=True)), (file, name)


def test_the_loop_by_hand_has_one_of_each_kind():
    """It is run like any block: here, that no kind of technique is missing from it."""
    (loop,) = [block.text for block in ALL if block.title == "by_hand.py"]
    packages = {"optimizer": "optim"}
    for role in CATALOGUES:
        package = packages.get(role, role)
        assert re.search(rf"\b{package}\.\w+\(", loop), f"{package} is not used"


@pytest.mark.parametrize("page", sorted((ROOT / "docs/tutorials").glob("*.md")), ids=lambda page: page.stem)
def test_tutorials_read_in_the_repository_too(page):
    """Without tabs and what else the site alone makes of a page, and with links to files that are there."""
    text = page.read_text()
    assert '=== "' not in text
    assert not any("<!-- " in block.text for block in blocks(page))
    links = [link for link in re.findall(r"\]\(([^)\s#]+)", text) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("block", of("toml"))
def test_recipes_read(block):
    check_toml(block)


@pytest.mark.parametrize("words", commands())
def test_commands_are_commands(words):
    if words[0] == "thalweg":
        parse(words)
        assert read_varied(words) or "--vary" not in words
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert words[0] in NOT_RUN


def test_a_mistaken_command_would_be_found():
    with pytest.raises(Exception, match="--epoch"):
        parse(["thalweg", "compare", "digits", "--epoch", "3"])
    with pytest.raises(Exception, match="adm"):
        read_varied(["thalweg", "compare", "digits", "--vary", "optimizer=adm"])


def test_the_readmes_task_is_compared_as_shown(tmp_path):
    shown = blocks(ROOT / "README.md")
    (tmp_path / "my_task.py").write_text(next(block.text for block in shown if "class Net" in block.text))
    words = next(words for block in shown for words in block.commands if "my_task.py:task" in words)
    done = run_command([*shortened(words), "--out", "study"], tmp_path)
    assert "report: " in done.stdout, done.stderr
    assert (tmp_path / "study" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works_from_top_to_bottom(page, tmp_path, monkeypatch):
    """Commands train less than they say; those that need what is not there are left out."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.text)
        if block.language == "python" and "<!-- " not in block.text and ">>>" not in block.text:
            run_python(block.text, tmp_path)
        for words in block.commands:
            if words[0] != "thalweg" or "ray" in words or not _there(words, tmp_path):
                continue
            done = run_command(shortened(words), tmp_path)
            assert done.returncode == (1 if "mistaken.py:task" in words else 0), (words, done.stdout, done.stderr)


def _there(words, folder):
    """Return whether the files that a command of README names exist: they are the reader's own."""
    named = [re.sub(r":\w+$", "", word) for word in words if re.search(r"(/|\.(csv|toml|py)(:\w+)?)$", word)]
    return all((folder / name).exists() for name in named if name != "winner.py") and words[-1] != "DIR"
