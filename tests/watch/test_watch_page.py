"""The page in a real browser: it follows, is quiet, fits, and takes names as text."""

import pytest

from thalweg.record import Store
from thalweg.watch import Watcher

HOSTILE = ('<script>alert("x")</script>', "</script><img src=x onerror=alert(1)>", 'it\'s "q" & {{ nonce }}')


@pytest.fixture
def opened(browser):
    """Open a watcher's page; afterwards it must have said nothing and asked its own address alone."""
    seen = []

    def build(watcher, **more):
        context = browser.new_context(viewport={"width": 1000, "height": 800}, **more)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(watcher.address)
        page.wait_for_selector("html[data-ready]")
        seen.append((context, watcher.address, said, asked))
        return page

    yield build
    for context, address, said, asked in seen:
        assert said == []
        assert all(url.startswith(address) for url in asked)
        context.close()


def test_it_follows_a_study_from_nothing_to_its_verdict(opened, written, tmp_path):
    with Watcher(tmp_path / "study0", 0) as watcher:
        page = opened(watcher)
        assert page.locator("h1").inner_text().startswith("Waiting for a study in")
        study = written()
        study.add("adam", valid=0.91)
        study.add("sgd", valid=0.85)
        study.plan("adam", repeat=1)
        course = {
            "run": "chosen/adam/1", "seed": 1, "done": 5, "of": 30, "epoch": [0, 1], "valid": [0.1, 0.4],
            "train_loss": [None, 2.0],
        }  # fmt: skip
        study.progress(courses=[course], said=["2 together"])
        page.wait_for_selector("#ahead:not([hidden])", timeout=10_000)
        assert page.locator("h1").inner_text() == "Running: 2 of at most 12 runs, about 1 min left."
        assert page.locator("#ahead-rows tr").first.inner_text().split()[:3] == ["adam", "91.0", "%"]
        assert "not a verdict" in page.locator("#caution").inner_text()
        assert page.locator("#plot .line").count() == 2
        assert page.locator("#plot .live").count() == 1
        assert "5 of 30" in page.locator("#now-rows tr").inner_text()
        study.add("sgd", repeat=1, status="diverged", reason="the loss was not finite", valid=float("nan"))
        page.wait_for_selector("#failures-rows tr", timeout=10_000)
        assert "the loss was not finite" in page.locator("#failures-rows tr").inner_text()
        study.store.close()
        page.locator("h1", has_text="Stopped").wait_for(timeout=10_000)
        with Store(study.directory, write=True) as store:
            store.put("verdict", {"sentences": ["adam is ahead of sgd.", "By 6 points."], "warnings": []})
        (study.directory / "report.html").write_text("<h1>Report</h1>")
        page.locator("h1", has_text="adam is ahead of sgd.").wait_for(timeout=10_000)
        page.click("text=The report")
        assert page.locator("h1").inner_text() == "Report"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_full_of_markup_are_text_and_nothing_sticks_out(opened, written, scheme):
    names = (*HOSTILE, "a" * 120, *(f"recipe {i}" for i in range(20)))
    study = written(names=names)
    for name in names:
        study.add(name, valid=0.5)
    study.add(names[0], repeat=1, status="failed", reason=HOSTILE[1], valid=float("nan"))
    study.progress(what=HOSTILE[0], said=[HOSTILE[1]])
    with Watcher(study.directory, 0) as watcher:
        page = opened(watcher, color_scheme=scheme)
        for name in HOSTILE:
            assert page.get_by_text(name).count() >= 2
        assert page.locator("img").count() == 0
        for width in (400, 900, 1400):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_recipes_and_arms_are_chosen_by_keyboard(opened, written):
    study = written()
    for arm in ("tuning", "chosen"):
        for name in ("sgd", "adam"):
            study.add(name, arm, valid=0.5 if arm == "tuning" else 0.9)
    with Watcher(study.directory, 0) as watcher:
        page = opened(watcher)
        page.locator("#legend button").nth(1).press("Enter")
        assert page.locator("#plot .line.isolated").count() == 1
        page.keyboard.press("Escape")
        assert page.locator("#plot .line.isolated").count() == 0
        assert "90.0" in page.locator("#plot title").first.text_content()
        page.get_by_role("button", name="tuning").press("Enter")
        assert "50.0" in page.locator("#plot title").first.text_content()
        page.get_by_role("button", name="training loss").press("Enter")
        assert "0.3333" in page.locator("#plot title").first.text_content()


@pytest.mark.slow
def test_a_watcher_that_ends_is_missed_and_the_page_goes_on_with_the_next(browser, written):
    study = written()
    study.add("adam")
    page = browser.new_page()
    with Watcher(study.directory, 0) as watcher:
        page.goto(watcher.address)
        page.wait_for_selector("html[data-ready]")
    page.wait_for_selector("#lost:not([hidden])", timeout=30_000)
    assert "has ended" in page.locator("#lost").inner_text()
    study.add("sgd")
    with Watcher(study.directory, watcher.port):
        page.wait_for_selector("#lost", state="hidden", timeout=30_000)
        assert page.locator("h1").inner_text().startswith("Running: 2 of")
        page.close()
