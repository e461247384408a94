"""The site: a page for every technique, links that lead somewhere, examples that run, the same bytes each time."""

import hashlib
import json
import re
import subprocess

import generate
import pytest
from generator.examples import FILES, example, selected, varied
from generator.look import write
from generator.prose import told

import record
from augment_text.small_model import small_model
from augment_text.small_sources import small_ppdb, small_vectors, small_wordnet
from augment_text.small_translation import translations
from docs.blocks import ROOT, run_python
from thalweg.catalogue import KINDS
from thalweg.notation import combine
from thalweg.recipe import Recipe

MKDOCS = ROOT / ".venv-docs/bin/mkdocs"
EVERY = [pytest.param(t, id=f"{kind}-{t.name}") for kind, members in KINDS.items() for t in members.values()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of all pages, without pictures."""
    folder = tmp_path_factory.mktemp("site")
    generate.main(folder, drawn=False)
    return folder


def pages_of(site):
    return {path.relative_to(site / "pages"): path.read_text() for path in sorted((site / "pages").rglob("*.md"))}


def test_every_technique_has_a_page_that_says_it_all(site):
    for kind, members in KINDS.items():
        index = (site / "pages/techniques" / kind / "index.md").read_text()
        for name, technique in members.items():
            page = (site / "pages/techniques" / kind / f"{name}.md").read_text()
            assert f"\n# {name}\n" in page
            assert f"]({name}.md)" in index
            assert page.count('<math display="block">') >= 1
            assert "**When.** Use it " in page, name
            assert example(technique) in page
            for hyperparameter in technique.hyperparameters:
                assert f"| `{hyperparameter}` |" in page
            assert technique.source in page


@pytest.mark.parametrize("technique", EVERY)
def test_docstrings_say_when(technique):
    assert len(re.findall(r"(?:^|\n)Use it ", technique.__doc__)) == 1
    assert told(technique).use.endswith(".")


def test_no_link_leads_nowhere(site):
    pages = pages_of(site)
    checked = 0
    for path, text in pages.items():
        text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL) if "techniques" not in path.parts else text
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("http", "#")):
                continue
            assert (site / "pages" / path.parent / target.partition("#")[0]).exists(), (path, target)
            checked += 1
    assert checked > 500


def test_all_pages_are_in_the_navigation(site):
    listed = set(re.findall(r'"([^"]+\.md)"', json.dumps(json.loads((site / "mkdocs.yml").read_text())["nav"])))
    assert listed == {str(path) for path in pages_of(site)}


def test_pages_are_the_same_each_time(site, tmp_path):
    generate.main(tmp_path, drawn=False)
    assert pages_of(site) == pages_of(tmp_path)


def test_what_is_put_in_at_build_time_is_there(site):
    assert "the interval holds |" in (site / "pages/protocol.md").read_text()
    for text in pages_of(site).values():
        assert "<!-- bench: " not in text
    with pytest.raises(SystemExit, match="no section nothing"):
        generate.with_results("<!-- bench: nothing -->")


def test_commands_have_their_options(site):
    page = (site / "pages/commands.md").read_text()
    for words in ("## compare", "## check", "--vary ROLE", "--baselines", "lottery TASK"):
        assert words in page
    assert "| 8 |" in page.replace("`", "")


@pytest.mark.parametrize("kind", KINDS)
def test_examples_run(kind, tmp_path):
    """Those that read files get small ones here; language models wait for the slow test."""
    small_wordnet(tmp_path / "wordnet")
    small_ppdb(tmp_path / "ppdb.txt")
    small_vectors(tmp_path / "vectors.txt")
    for technique in KINDS[kind].values():
        if "model" not in "".join(FILES.get(technique.name, ())):
            run_python(example(technique), tmp_path)


@pytest.mark.slow
def test_examples_with_a_language_model_run(tmp_path):
    small_model(tmp_path / "model")
    translations(tmp_path)
    for name in ("masked", "masked_insertion", "back_translation"):
        assert "fox" in run_python(example(KINDS["augment"][name]), tmp_path)


@pytest.mark.parametrize("technique", EVERY)
def test_what_is_said_to_compare_can_be_compared(technique):
    assert len(combine(Recipe(epochs=1), [varied(technique, told(technique).mentions)], [])) == 2


def test_classes_select_what_their_page_is_on():
    import torch

    from thalweg import optim

    for technique in KINDS["optimizer"].values():
        name, chosen = selected(technique)
        made = getattr(optim, name)(torch.nn.Linear(2, 1).parameters(), lr=0.1, **chosen)
        on = {option for options, formula in made.face.formulas.items() if formula is technique for option in options}
        assert {key for key in chosen if key != "adjust_lr_fn"} <= on


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "augment"])
def test_a_chart_of_each_kind_is_drawn(kind, tmp_path):
    technique = next(iter(KINDS[kind].values()))
    chart, caption = generate.CHARTS[kind](technique)
    write(chart, tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text().count("<path") > 3
    assert caption.endswith(".")


def test_a_film_shows_what_a_terminal_does():
    screen = record.Screen()
    screen.feed("one\r\ntwo \x1b[31mred\x1b[0m\r\n10%\r\x1b[2K90%\r\n\x1b[1A\x1b[2Kdone")
    assert [[piece[2] for piece in row] for row in screen.shown()] == [["one"], ["two ", "red"], ["done"], []]
    assert screen.shown()[1][1][1] == record.INKS["31"]
    made = record.film([(1.0, "a < b\r\n"), (20.0, "end\r\n")], "x", fit=10.0)
    assert "a &lt; b" in made
    assert "2× as fast" in made


@pytest.mark.slow
def test_the_whole_site_is_built_and_asks_for_nothing_elsewhere(tmp_path):
    if not MKDOCS.exists():
        pytest.skip("make docs makes the environment with mkdocs")
    generate.main(tmp_path)
    first = digests(tmp_path / "pages")
    assert {path.stem for path in (tmp_path / "pages/techniques/optimizer").glob("*.svg")} == set(KINDS["optimizer"])
    subprocess.run([MKDOCS, "build", "--strict", "--quiet", "-f", tmp_path / "mkdocs.yml"], check=True)
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.search(r'(?:src|<link[^>]*href)="https?://', page.read_text()), page
    generate.main(tmp_path)
    assert digests(tmp_path / "pages") == first


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}
