"""The paragraph for papers is the study's own protocol; what it cites, and the formulas, are the techniques' own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_page import HOSTILE, Page

import thalweg as tw
from thalweg import report
from thalweg.recipe import CATALOGUES
from thalweg.record import Store
from thalweg.report.citations import Bibliography
from thalweg.report.formulas import formulas, mathml
from thalweg.report.methods import methods
from thalweg.report.reading import Study as Read
from thalweg.report.reading import read
from thalweg.report.scale import scale_of
from thalweg.study.facts import _technique

if TYPE_CHECKING:
    from collections.abc import Callable

    Study = Callable[..., Path]


def paragraph(directory: Path, **verdict: Any) -> str:
    """Return the paragraph as plain text, the verdict changed in what is named."""
    if verdict:
        with Store(directory, write=True) as store:
            store.put("verdict", store.get("verdict") | verdict)
    found = read(directory)
    return methods(found, scale_of(found)).copies["methods"].replace("\u00a0", " ")


@pytest.mark.parametrize(("trials", "seeds", "rates"), [(3, 4, 3), (5, 2, 0)])
def test_its_numbers_are_those_of_the_protocol(study: Study, trials: int, seeds: int, rates: int) -> None:
    text = paragraph(study(("adam", "sgd", "yogi"), trials=trials, seeds=seeds, rates=rates))
    assert "We compared 3 training recipes (adam, sgd, yogi) on the task digits" in text
    assert f"the same number of trials, {trials}:" in text
    assert f"with {seeds} seeds that tuning had not used" in text
    assert (f"at {rates} rates with 3 seeds each" in text) == bool(rates)
    assert f"In all, {3 * (trials + 2 * seeds + 3 * rates)} runs were trained" in text
    assert "1077 for training, 360 for validation, 360 for testing" in text.replace("\u202f", "")


def test_what_it_says_of_intervals_is_what_the_verdict_has(study: Study) -> None:
    several, two = study(("adam", "sgd", "yogi")), study(("adam", "sgd"))
    assert "max-T" in paragraph(several)
    assert "Westfall & Young (1993)" in paragraph(several)
    assert "max-T" not in paragraph(two)
    assert "The difference is paired by seed, and has a 95 % interval." in paragraph(two)
    assert "the 360 test examples together" in paragraph(two)
    assert "Satterthwaite (1946)" in paragraph(two)
    with Store(two) as store:
        pairs = [pair | {"crossed": None} for pair in store.get("verdict")["pairs"]]
    text = paragraph(two, pairs=pairs, level=0.9)
    assert "has a 90 % interval" in text
    assert "the intervals vary seeds alone" in text
    assert "Satterthwaite" not in text


def test_failures_are_counted(study: Study) -> None:
    assert "of which none failed" in paragraph(study(("adam",), rates=0))
    assert "of which 6 diverged" in paragraph(
        study(("adam",), trials=2, seeds=2, rates=0, all_diverge=True, epochs=8)
    )


def test_many_recipes_are_counted_and_not_named(study: Study) -> None:
    text = paragraph(study([f"recipe {i}" for i in range(9)], trials=1, seeds=1, rates=0))
    assert "We compared 9 training recipes on the task" in text


def test_names_full_of_markup_stay_text_in_html_and_latex(study: Study) -> None:
    page = Page(report.write(study(HOSTILE)))
    assert f"({', '.join(HOSTILE)})" in page.text
    latex = page.payload["copies"]["methods-latex"]
    assert r"\textless{}/script\textgreater{}" in latex
    assert re.search(r"(?<!\\)[&%#]", latex) is None


def test_the_same_work_is_cited_once_and_different_ones_get_keys_of_their_own() -> None:
    works = Bibliography()
    first = works.cite("Kingma & Ba 2015, Adam, Algorithm 1")
    again = works.cite("Kingma & Ba 2015, Adam: A Method for Stochastic Optimization, section 7.2")
    assert first == again
    other = works.cite("Liu et al. 2020, One Thing; Liu et al. 2020, Another")
    assert works.plain(other) == " [2, 3]"
    assert works.latex(other) == r"~\cite{liu2020,liu2020b}"
    assert works.cite("the identity; in recipes, the norms that the model has are taken out") == ""
    assert "title = {{Adam: A Method for Stochastic Optimization}}" in works.bibtex()
    assert "author = {Liu and others}" in works.bibtex()


TECHNIQUES = [
    pytest.param(technique, id=f"{role}-{name}")
    for role, members in CATALOGUES.items()
    for name, technique in members.items()
]


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_technique_has_its_formula_drawn_and_its_source_cited(technique: Any) -> None:
    kept = _technique(technique, ["mine"])
    study = Read(
        directory=None, task={}, protocol={}, environment={}, plan={}, verdict=None, recipes=[], members={},
        planned=0, finished=0, techniques=[kept],
    )  # fmt: skip
    (found,) = formulas(study)
    assert len(found["lines"]) == len(kept["latex"])
    for line in found["lines"]:
        assert line.startswith("<math")
        assert "\\" not in line, "no command was left as it is"
        assert "&amp;" not in line, "nor an entity"
    works = Bibliography()
    works.cite(kept["source"])
    years = re.findall(r"\b(?:1[5-9]|20)\d\d\b(?= *[,;:]|$)", kept["source"])
    assert {work.year for work in works.references} >= {year for year in years if len(years) == 1}


def test_a_formula_of_another_hand_can_hold_no_markup() -> None:
    for text in (r"\text{<script>}", r"\text{&lt;script&gt;}", "<script>", r"\mathrm{<b>}_{<i>}", "a_"):
        assert not re.search(r"<(script|b|i)>", mathml(text))


def test_a_real_study_keeps_its_formulas_for_the_page(tmp_path: Path) -> None:
    recipes = {
        name: tw.Recipe(optimizer(), epochs=1) for name, optimizer in (("a", tw.optim.sgd), ("b", tw.optim.lamb))
    }
    tw.compare(tw.load_task("wine"), recipes, trials=1, seeds=2, out=tmp_path, processes=1, progress=False)
    page = Page(tmp_path / "report.html")
    assert [tag for tag, _ in page.elements].count("mtable") == 1, "lamb's trust ratio has two cases"
    assert "the optimizers sgd\u00a0[2] and lamb\u00a0[3]; the schedule constant\u00a0[2]" in page.text
    assert "optimizer, in b" in page.text
    assert "Robbins & Monro (1951). A Stochastic Approximation Method." in page.text


def test_the_work_on_tuning_curves_is_cited_as_in_the_protocol(study: Study) -> None:
    text = Page(report.write(study())).text
    assert "Lourie, Cho & He (2023). Show Your Work with Confidence: Confidence Bands for Tuning Curves." in text
    protocol = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    assert "Lourie, Cho & He 2023, *Show Your Work with Confidence: Confidence Bands for Tuning Curves*" in protocol
