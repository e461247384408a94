"""The page in a real browser: drawn, quiet, closed to the outside, and answering to mouse, keyboard and eyes."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree

import pytest
from test_ablation import NAMES as PARTED
from test_ablation import PARTS
from test_lottery_page import lottery
from test_page import HOSTILE

from thalweg import report
from thalweg.record import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    Study = Callable[..., Path]

CHARTS = {"ranks", "valid", "loss", "rates", "trials"}


def drawn(page: Any) -> set[str]:
    """Return the charts that were drawn and hold marks, not axes alone."""
    found = page.evaluate(
        "[...document.querySelectorAll('[data-drawn] svg')].filter(svg => svg.querySelectorAll("
        "'.mark-symbol path, .mark-line path, .mark-rule line').length > 1)"
        ".map(svg => svg.closest('[data-chart]').dataset.chart)"
    )
    return set(found)


def standing_out(page: Any, chart: str, mark: str) -> int:
    """Return how many of a chart's marks are not faint."""
    return page.evaluate(
        f"[...document.querySelectorAll('[data-chart={chart}] .mark-{mark} path')]"
        ".filter(path => Number(path.getAttribute('opacity') ?? 1) > 0.5).length"
    )


def test_every_chart_is_drawn_at_every_width_and_nothing_sticks_out(study: Study, opened: Any) -> None:
    one = opened(report.write(study()))
    assert drawn(one.page) == CHARTS
    for width in (400, 900, 1400):
        one.page.set_viewport_size({"width": width, "height": 800})
        one.page.wait_for_timeout(150)
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    assert drawn(one.page) == CHARTS


@pytest.mark.parametrize(
    "state",
    [
        {"stop": 1},
        {"stop": 20},
        {"all_diverge": True, "epochs": 8},
        {"higher": False},
        {"trials": 1, "seeds": 1, "rates": 1},
    ],
    ids=str,
)
def test_a_study_in_any_state_is_shown_without_a_complaint(study: Study, opened: Any, state: dict[str, Any]) -> None:
    page = opened(report.write(study(**state))).page
    places = page.locator("[data-chart]").count()
    assert page.locator("[data-drawn] svg").count() == places
    assert page.locator("h1").inner_text()


def test_names_full_of_markup_are_text_everywhere(study: Study, opened: Any) -> None:
    names = (*HOSTILE, "adam")
    one = opened(report.write(study(names)))
    assert drawn(one.page) == CHARTS
    assert one.page.locator("img, main script").count() == 0
    for name in names:
        assert one.page.locator(".legend button", has_text=name).count() == 1
    one.page.locator(".legend button").first.click()
    assert one.page.locator("#table-results tr.isolated th button").inner_text() == names[0]
    one.page.locator("[data-chart=ranks] .mark-symbol path").first.hover()
    assert one.page.locator("#vg-tooltip-element.visible").count() == 1
    copied = copy(one.page, "button[data-of=table-results][data-copy=csv]")
    assert {row[0] for row in csv.reader(io.StringIO(copied))} >= set(names)
    copied = copy(one.page, "button[data-of=table-results][data-copy=latex]")
    assert r"""it's "q" \& \{\{ 7 * 7 \}\}""" in copied
    assert r"\textless{}script\textgreater{}" in copied


def copy(page: Any, selector: str) -> str:
    """Press a button that copies, and return what it copied."""
    page.locator(selector).locator("visible=true").last.click()
    page.wait_for_function("document.getElementById('status').textContent === 'Copied.'")
    text: str = page.evaluate("navigator.clipboard.readText()")
    page.evaluate("document.getElementById('status').textContent = ''")
    return text


def test_a_recipe_that_is_picked_stands_out_in_every_chart_and_table(study: Study, opened: Any) -> None:
    page = opened(report.write(study(("adam", "sgd", "nadam")))).page
    assert standing_out(page, "valid", "line") == standing_out(page, "rates", "line") == 3
    page.locator(".legend button", has_text="sgd").click()
    page.wait_for_timeout(200)
    for chart in ("valid", "loss", "rates", "trials"):
        assert standing_out(page, chart, "line") == 1, chart
    for table in ("results", "matrix"):
        assert page.locator(f"#table-{table} tr.isolated th button").all_inner_texts() == ["sgd"]
    assert page.locator("#table-pairs tr.isolated").count() == 2
    pressed = page.locator("button[aria-pressed=true]:not([data-close])").all_inner_texts()
    assert [text.strip() for text in pressed] == ["sgd"] * 3
    page.locator("#table-results button", has_text=re.compile("^adam$")).press("Enter")
    page.wait_for_timeout(200)
    assert standing_out(page, "valid", "line") == 2
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    assert standing_out(page, "valid", "line") == 3
    assert page.locator(".some").count() == 0
    page.locator("[data-chart=ranks] .mark-symbol path").first.click()
    page.wait_for_timeout(200)
    assert standing_out(page, "valid", "line") == 1


def test_hovering_shows_the_numbers(study: Study, opened: Any) -> None:
    one = opened(report.write(study()))
    with Store(report_directory(one)) as store:
        verdict = store.get("verdict")
    best = next(row for row in verdict["recipes"] if row["name"] == verdict["best"])
    one.page.locator("[data-chart=ranks] .mark-symbol path").first.hover()
    told = one.page.locator("#vg-tooltip-element").inner_text()
    assert verdict["best"] in told
    assert f"{100 * best['mean']:.1f}" in told.replace("\u00a0", " ")


def test_the_whole_course_is_shown_on_request(study: Study, opened: Any) -> None:
    page = opened(report.write(study(epochs=30))).page
    labels = page.locator("[data-chart=valid] .role-axis-label text")

    def lowest() -> float:
        return min(float(text) for text in labels.all_text_contents() if float(text) > 30)  # 30 epochs

    finish = lowest()
    page.locator("[data-switch=valid] button", has_text="whole course").click()
    page.wait_for_timeout(200)
    assert lowest() == 40 < finish
    assert page.locator("[data-switch=valid] [aria-pressed=true]").inner_text() == "whole course"


def report_directory(one: Any) -> Path:
    return Path(unquote(urlparse(one.address).path)).parent


def test_tables_are_copied_with_all_their_numbers(study: Study, opened: Any) -> None:
    page = opened(report.write(study(("adam", "sgd", "yogi"), seeds=4))).page
    lines = list(csv.reader(io.StringIO(copy(page, "button[data-of=table-results][data-copy=csv]"))))
    assert len({len(line) for line in lines}) == 1
    head = lines[0]
    assert head[:2] == ["Recipe", "Chosen setting"]
    at = head.index("Test accuracy (%): mean")
    assert head[at + 1 : at + 3] == [
        "Test accuracy (%): seeds × examples: low",
        "Test accuracy (%): seeds × examples: high",
    ]
    for line in lines[1:]:
        mean, low, high = map(float, line[at : at + 3])
        assert low <= mean <= high
    shown = page.locator("#table-results tbody tr").first.locator("td.mean").first.inner_text()
    assert lines[1][at] == shown
    text = copy(page, "button[data-of=table-results][data-copy=latex]")
    assert text.startswith("\\begin{tabular}{l")
    assert "\\multicolumn{3}{c}{Test accuracy (\\%)}" in text
    rows = re.search(r"\\midrule\n(.*)\\bottomrule", text, re.DOTALL)[1].strip().split("\n")
    columns = len(re.search(r"\{tabular\}\{([lr]+)\}", text)[1])
    assert len(rows) == 3
    assert all(row.count("&") == columns - 1 for row in rows)
    assert f"\\textbf{{{shown}}}" in rows[0]
    plain, rows = copy(page, "button[data-of=table-matrix][data-copy=csv]"), 3
    assert len(list(csv.reader(io.StringIO(plain)))) == rows + 1
    assert "−" not in plain


def test_the_paragraph_on_methods_is_copied_with_what_it_cites(study: Study, opened: Any) -> None:
    page = opened(report.write(study())).page
    text = copy(page, "button[data-copy=methods]")
    assert "We compared 2 training recipes (adam, sgd) on the task digits with thalweg 0.1.0" in text
    assert "[1] Paszke et al. (2019)" in text
    assert "3 seeds that tuning had not used" in text
    latex, bibtex = copy(page, "button[data-copy=methods-latex]"), copy(page, "button[data-copy=methods-bibtex]")
    keys = {key for group in re.findall(r"\\cite\{([^}]+)\}", latex) for key in group.split(",")}
    assert keys == set(re.findall(r"@misc\{(\w+),", bibtex))
    assert "robbins1951" in keys
    for link in page.locator("a.cite").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_figures_are_saved_as_they_are_seen_on_paper(study: Study, opened: Any) -> None:
    page = opened(report.write(study()), color_scheme="dark").page
    for chart in ("ranks", "valid"):
        saved = {}
        for kind in ("svg", "png", "csv"):
            with page.expect_download() as waiting:
                page.locator(f"[data-tools={chart}] [data-save={kind}]").click()
            assert waiting.value.suggested_filename == f"{chart}.{kind}"
            saved[kind] = waiting.value.path().read_bytes()
        tree = ElementTree.fromstring(saved["svg"])
        assert tree.find("{http://www.w3.org/2000/svg}title").text
        assert b"var(--" not in saved["svg"]
        assert b'fill="#fff"' in saved["svg"], "light, though the screen is dark"
        assert saved["png"].startswith(b"\x89PNG")
        wide, high = (int.from_bytes(saved["png"][i : i + 4], "big") for i in (16, 20))
        assert wide >= 3 * float(tree.get("width")) - 3
        assert high > 100
        rows = list(csv.DictReader(io.StringIO(saved["csv"].decode())))
        payload = json.loads(page.locator("#payload").text_content())
        assert len(rows) == len(payload["data"][chart]["recipe"])
        assert {row["recipe"] for row in rows} == {"adam", "sgd"}


def test_formulas_are_drawn_by_the_browser_itself(study: Study, opened: Any) -> None:
    page = opened(report.write(study())).page
    assert page.locator("#techniques math[display=block]").count() == 2
    fraction = page.locator("#techniques mfrac").first.bounding_box()
    letter = page.locator("#techniques math[display=block] mi").first.bounding_box()
    assert fraction["height"] > 1.5 * letter["height"], "a fraction is drawn, and not its letters in a row"


CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim()) continue;
    if (element.closest("script, style, noscript, .unseen, [hidden]")) continue;
    const style = getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const two = [light(parse(ink)), light(behind(element))].sort((a, b) => b - a);
    found.push([(two[0] + 0.05) / (two[1] + 0.05), walk.currentNode.textContent.trim(), ink]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_accessibility_asks_for(study: Study, opened: Any, scheme: str) -> None:
    names = [f"recipe {i}" for i in range(8)]  # one of each colour, and one more
    page = opened(report.write(study(names, trials=2, seeds=2, rates=2)), color_scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 300
    assert [row for row in found if row[0] < 4.5] == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(study: Study, opened: Any) -> None:
    page = opened(report.write(study())).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "(() => { const on = document.activeElement; const style = getComputedStyle(on);"
            "return [on.tagName, on.textContent.trim() || on.getAttribute('aria-label'), style.outlineStyle]; })()"
        )
        if where[0] == "BODY":
            break
        assert where[2] != "none", where
        assert where[1], where
        reached.add(where[1])
    visible = page.locator("main button").locator("visible=true")
    assert visible.count() > 20
    assert {text.strip() for text in visible.all_text_contents()} <= reached


def test_landmarks_headings_and_tables_are_what_a_screen_reader_asks_for(study: Study, opened: Any) -> None:
    page = opened(report.write(study())).page
    for role in ("banner", "navigation", "main", "contentinfo", "status"):
        assert page.get_by_role(role).count() == 1, role
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("img", name=re.compile("accuracy|loss")).count() == len(CHARTS)
    for link in page.get_by_role("navigation").get_by_role("link").all():
        target = page.locator(link.get_attribute("href"))
        assert target.get_attribute("aria-labelledby")
    results = page.get_by_role("region", name="Results by recipe")
    assert results.get_by_role("rowheader").count() == 2
    assert results.get_by_role("columnheader", name="Chosen setting").count() == 1


def test_on_paper_there_is_the_text_without_the_tools(study: Study, opened: Any) -> None:
    page = opened(report.write(study()), color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".tools, nav, .switch").locator("visible=true").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")


def test_the_page_of_an_ablation_isolates_an_ingredient(study: Study, opened: Any) -> None:
    directory = study(PARTED, trials=1, rates=0)
    with Store(directory, write=True) as store:
        verdict = store.get("verdict") | {"ablation": {"comparisons": 6, "parts": PARTS}, "pairs": [], "tuning": []}
        store.put("verdict", verdict)
        store.put("protocol", store.get("protocol") | {"trials": 0, "rates": 0})
    page = opened(report.write(directory)).page
    assert drawn(page) == {"ablation_test", "ablation_gap", "ablation_cost", "valid", "loss"}
    before = standing_out(page, "ablation_gap", "symbol")
    page.locator(".legend button", has_text=re.compile("^plain$")).click()
    page.wait_for_timeout(200)
    assert 0 < standing_out(page, "ablation_gap", "symbol") < before
    text = copy(page, "button[data-of=table-effects][data-copy=csv]")
    head, first, *_ = csv.reader(io.StringIO(text))
    assert len(head) == len(first)
    assert "Taken out of the full recipe: test accuracy, better by (points): low" in head


def test_the_page_of_a_lottery_is_drawn(tmp_path: Path, opened: Any) -> None:
    page = opened(report.write(lottery(tmp_path))).page
    assert drawn(page) >= {"remaining", "step", "barrier"}
    page.locator(".legend button", has_text="random mask").click()
    page.wait_for_timeout(200)
    assert standing_out(page, "remaining", "line") == 1
    lines = list(csv.reader(io.StringIO(copy(page, "button[data-of=table-levels][data-copy=csv]"))))
    assert len(lines) == 5
    assert [line[:2] for line in lines[1:3]] == [["100 %", "800"], ["50 %", "400"]]


def test_the_page_of_several_studies_is_drawn(study: Study, tmp_path: Path, opened: Any) -> None:
    page = opened(
        report.write_several([study(), study(("adam", HOSTILE[0]), higher=False)], tmp_path / "all.html")
    ).page
    assert drawn(page) == {"ranks-0", "ranks-1"}
    page.locator("#table-grid button", has_text="adam").click()
    page.wait_for_timeout(200)
    assert page.locator("#table-grid tr.isolated").count() == 1
    assert len(list(csv.reader(io.StringIO(copy(page, "button[data-of=table-grid][data-copy=csv]"))))) == 4


@pytest.mark.slow
def test_five_thousand_runs_are_drawn_at_once(study: Study, opened: Any) -> None:
    names = [*HOSTILE, *(f"recipe {i}" for i in range(31))]
    directory = study(names, trials=50, seeds=40, rates=7, epochs=100)
    with Store(directory) as store:
        assert len(store.finished()) > 5000
    path = report.write(directory)
    assert path.stat().st_size < 2_000_000
    one = opened(path)
    assert drawn(one.page) == CHARTS
    assert one.page.evaluate("window.first") < 2000
    one.page.locator(".legend button").first.click()
    one.page.wait_for_timeout(500)
    assert standing_out(one.page, "valid", "line") == 1
