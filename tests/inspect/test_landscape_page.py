"""The landscape's page in a real browser: it moves, stops and steps by keyboard, fits, and asks for nothing."""

import pytest

from thalweg import inspect


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    """Write a page once."""
    place = tmp_path_factory.mktemp("landscape") / "a.html"
    inspect.descent("ravine", ["sgd", "adam"], steps=50).save(place)
    return place.as_uri()


def points(page):
    return len(page.locator("#paths polyline").first.get_attribute("points").split())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_moves_and_is_led_by_keyboard(browser, page_of, scheme):
    context = browser.new_context(color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_of)
    page.wait_for_selector("html[data-ready]")
    page.wait_for_timeout(600)
    assert points(page) > 1
    page.keyboard.press("Space")
    before = points(page)
    page.wait_for_timeout(400)
    assert points(page) == before
    assert page.locator("#play").inner_text() == "play"
    for key, count in (("Home", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 51)):
        page.keyboard.press(key)
        assert points(page) == count
        assert page.locator("#told").inner_text() == f"step {count - 1} of 50"
    page.locator("[data-line]").nth(1).press("Enter")
    assert page.locator("#paths polyline.faint").count() == 1
    for width in (400, 900, 1400):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (said, asked) == ([], [page_of])
    context.close()


def test_who_wants_no_motion_sees_the_end(browser, page_of):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(page_of)
    page.wait_for_selector("html[data-ready]")
    assert points(page) == 51
    context.close()
