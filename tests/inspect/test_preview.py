"""A preview shows what a policy does, asks nobody for anything, and is whole or not there."""

import base64
import re

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from thalweg import InputError, augment
from thalweg.inspect import preview
from thalweg.inspect._preview.texts import marked
from thalweg.task.images import from_folder
from thalweg.technique import Choice, Uniform

DIGITS = np.rint(load_digits().images[:12] * 255 / 16).astype(np.uint8)
POLICY = augment.flip() >> augment.ssr(rotate=20.0) >> augment.invert(p=0.5)
TEXTS = ["The quick brown fox jumps", "Don't  panic: v1.2.3 & <b>", "", "שלום עולם, 日本 🙂", "over the lazy dog"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "digits" / "deeper").mkdir(parents=True)
    for i, image in enumerate(DIGITS):
        cv2.imwrite(str(tmp_path / "digits" / ("deeper" if i % 2 else "") / f"{i:02}.png"), image)
    (tmp_path / "digits" / "notes.txt").write_text("no picture")
    return tmp_path / "digits"


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    return tmp_path / "texts.txt"


def images_in(page):
    data = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(x), np.uint8), cv2.IMREAD_UNCHANGED) for x in data]


def test_a_page_shows_each_sample_and_its_augmentations(folder, tmp_path):
    done = preview(POLICY, folder, tmp_path / "out.html", samples=3, epochs=2, seed=5)
    assert (done.samples, done.medium, done.out) == (3, "image", tmp_path / "out.html")
    assert 0 < done.seconds < 1
    page = done.out.read_text()
    numbers = [int(n) for n in re.findall(r"<h2>sample (\d+) ", page)]
    assert numbers == [0, 6, 11]
    files = [folder / "00.png", folder / "deeper" / "01.png"]  # paths in their order: 00, 02, …, deeper/01, …
    found = images_in(page)
    assert len(found) == 9
    assert np.array_equal(found[0], cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED))
    for i, number in enumerate(numbers):
        for epoch in range(2):
            expected = POLICY(found[3 * i], sample=number, epoch=epoch, seed=5)
            assert np.array_equal(found[3 * i + 1 + epoch], expected)
            assert POLICY.explain(number, epoch, seed=5, height=8, width=8).splitlines()[1] in page


def test_captions_say_how_much(folder, tmp_path):
    policy = augment.flip(p=1.0) >> augment.ssr(rotate=20.0, shift=0.0, scale=0.0, p=1.0) >> augment.brightness(p=1.0)
    page = preview(policy, folder / "00.png", tmp_path / "out.html", epochs=2).out.read_text()
    captions = re.findall(r"<figcaption>epoch \d<span>(.*?)</span>", page)
    assert len(captions) == 2
    for epoch, caption in enumerate(captions):
        angle, share = re.fullmatch(r"flip; ssr rotated (.*)°; brightness (.*) %", caption).groups()
        said = policy.explain(0, epoch)
        assert f"rotated {angle}°" in said
        assert f"brightness: {share} %" in said


def test_a_page_stands_alone(folder, lines, tmp_path):
    for policy, path in ((POLICY, folder), (augment.random_swap(), lines)):
        page = preview(policy, path, tmp_path / "out.html").out.read_text()
        assert "default-src 'none'" in page
        assert "prefers-color-scheme: dark" in page
        assert not re.search(r"https?://|<script|<link|url\(|@import", page)
        for tag in ("section", "figure", "figcaption", "details", "dl", "div", "main", "span", "del", "ins"):
            assert len(re.findall(f"<{tag}[ >]", page)) == page.count(f"</{tag}>")


def test_a_picture_alone_and_as_a_sheet(folder, tmp_path):
    done = preview(POLICY, folder / "00.png", tmp_path / "out.png", epochs=3)
    assert done.samples == 1
    sheet = cv2.imread(str(tmp_path / "out.png"))
    assert sheet.shape[1] == 4 * 172 + 12
    large = cv2.resize(DIGITS[0], (160, 160), interpolation=cv2.INTER_NEAREST)
    rows = [y for y in range(sheet.shape[0] - 160) if np.array_equal(sheet[y : y + 160, 12:172, 0], large)]
    assert len(rows) == 1
    first = cv2.resize(POLICY(DIGITS[0], sample=0, epoch=0), (160, 160), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(sheet[rows[0] : rows[0] + 160, 184:344, 1], first)


def test_large_pictures_are_shown_smaller_but_augmented_whole(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (400, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    page = preview(augment.flip(p=1.0), tmp_path / "a.png", tmp_path / "out.html", epochs=1).out.read_text()
    original, flipped = images_in(page)
    assert original.shape == flipped.shape == (200, 320, 3)
    assert np.abs(original[:, ::-1].astype(int) - flipped).mean() < 12  # as far as JPEG goes


def test_mixed_pictures_say_with_what(folder, tmp_path):
    done = preview(augment.mixup() >> augment.normalise(), folder, tmp_path / "out.html", samples=4)
    page = done.out.read_text()
    assert "normalise is not shown: it changes numbers, not what one sees." in page
    assert re.search(r"label: \d+% of sample \d+", page)
    cv2.imwrite(str(folder / "wide.png"), np.zeros((8, 16), np.uint8))


def test_mixed_pictures_of_several_sizes_get_the_size_that_a_task_gives_them(folder, tmp_path):
    (tmp_path / "classes").mkdir()
    folder.rename(tmp_path / "classes/one")
    (tmp_path / "classes/two").mkdir()
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"classes/two/{i}.png"), np.full((8, 16), 50 * i, np.uint8))
    done = preview(augment.mixup(), tmp_path / "classes", tmp_path / "out.html", samples=20, epochs=1)
    note = "Pictures are 64 × 64 here, as a study makes those of several sizes."
    assert done.notes == (note,)
    assert note in done.out.read_text()
    shown = images_in(done.out.read_text())
    assert {image.shape for image in shown} == {(64, 64)}
    task = from_folder(tmp_path / "classes")
    inputs = [split.inputs for split in (task.train, task.valid, task.test)]
    known = {(image[0] * 255).round().byte().numpy().tobytes() for images in inputs for image in images}
    assert {image.tobytes() for image in shown[::2]} <= known


def test_of_a_range_the_middle_is_shown_which_is_said(folder, lines, tmp_path):
    policy = augment.ssr(rotate=Uniform(10.0, 30.0), p=1.0) >> augment.flip()
    done = preview(policy, folder, tmp_path / "out.html", epochs=1)
    assert done.notes == ("rotate of ssr is searched from 10.0 to 30.0, and 20.0 here.",)
    page = done.out.read_text()
    assert done.notes[0] in page
    assert done.notes[0] in str(done)
    original, shown = images_in(page)[:2]
    assert np.array_equal(shown, (augment.ssr(rotate=20.0, p=1.0) >> augment.flip())(original, sample=0))
    done = preview(augment.random_swap(share=Choice((0.1, 0.3, 0.5))), lines, tmp_path / "out.html")
    assert done.notes == ("share of random_swap is searched among 0.1, 0.3, 0.5, and 0.3 here.",)
    assert done.notes[0] in done.out.read_text()
    two = preview(augment.ssr(rotate=Choice((10.0, 30.0))), folder, tmp_path / "out.html").notes[0]
    assert "If a range to draw from was meant: rotate = 30.0 is drawn anew for each sample, up to 30.0;" in two


def test_texts_show_what_was_taken_out_and_put_in(lines, tmp_path):
    policy = augment.random_swap() >> augment.random_deletion()
    page = preview(policy, lines, tmp_path / "out.html", epochs=2).out.read_text()
    assert re.findall(r"<h2>sample (\d+) <small>([^<]+)", page) == [
        ("0", "line 1"), ("1", "line 2"), ("2", "line 4"), ("3", "line 5"),
    ]  # fmt: skip
    there = [text for text in TEXTS if text]
    shown = re.findall(r'<dd dir="auto">(.*?)</dd>', page, re.DOTALL)
    for i, text in enumerate(there):
        assert plain(shown[3 * i], "both") == text
        for epoch in range(2):
            html = shown[3 * i + 1 + epoch]
            assert plain(html, "del") == text
            assert plain(html, "ins") == policy.text(text, sample=i, epoch=epoch)


def plain(html, keep):
    """Return the text that a diff shows when only what was taken out, or only what was put in, stands in it."""
    import html as entities

    for tag in {"del": ["ins"], "ins": ["del"], "both": []}[keep]:
        html = re.sub(f"<{tag}>.*?</{tag}>", "", html, flags=re.DOTALL)
    return entities.unescape(re.sub(r"<[^>]+>", "", html))


def test_marks_escape_what_they_hold():
    done = augment.keyboard(share=1.0).edited("a<b> & c\"d' fine", sample=0)
    assert "<b>" not in marked(done)
    assert plain(marked(done), "ins") == done.text
    assert plain(marked(done), "del") == done.original


def test_columns_of_texts_and_of_paths(folder, tmp_path):
    rows = [f'"{text or "a few more words"}",{i}' for i, text in enumerate(TEXTS)]
    (tmp_path / "rows.csv").write_text("\n".join(["review,stars", *rows]) + "\n")
    done = preview(augment.random_swap(), tmp_path / "rows.csv", tmp_path / "out.html")
    assert (done.medium, done.samples) == ("text", 5)
    paths = [f"digits/{path.relative_to(folder)},{i % 2}" for i, path in enumerate(sorted(folder.rglob("*.png")))]
    (tmp_path / "paths.csv").write_text("\n".join(["file,label", *paths]) + "\n")
    done = preview(POLICY, tmp_path / "paths.csv", tmp_path / "out.html", samples=20)
    assert (done.medium, done.samples) == ("image", 12)


def test_the_same_samples_come_out_the_same(folder, tmp_path):
    pages = [preview(POLICY, folder, tmp_path / f"{i}.html").out.read_text() for i in range(2)]
    one, two = (re.sub(r"took [^ ]+ [mµ]s", "", page) for page in pages)
    assert one == two


BROKEN = b"\x89PNG and no more"


@pytest.mark.parametrize(
    ("policy", "path", "out", "more", "message"),
    [
        (augment.Policy(), "digits", "o.html", {}, 'the policy has no augmentation; add one, such as name = "flip"'),
        (POLICY, "digits", "o.gif", {}, 'a preview is written as .html or .png, not "o.gif"'),
        (POLICY, "nowhere", "o.html", {}, "there is no file or folder nowhere"),
        (POLICY, "empty", "o.html", {}, "empty has no pictures (.png, .jpg, .jpeg, …); give a folder that has"),
        (POLICY, "broken.png", "o.html", {}, "broken.png cannot be read as a picture: it is broken, or none"),
        (augment.crop(size=(9, 4)), "digits", "o.html", {}, "digits/00.png: a window of 9 × 4 does not fit into"),
        (POLICY, "texts.txt", "o.html", {}, "flip is for pictures, and these are texts"),
        (POLICY, "digits", "no/o.html", {}, "no/o.html cannot be written: No such file or directory"),
        (POLICY, "digits", "o.html", {"samples": 0}, "samples takes a whole number from 1 up, not 0"),
        (POLICY, "digits", "o.html", {"epochs": True}, "epochs takes a whole number from 1 up, not True"),
        (POLICY, "digits", "o.html", {"seed": -1}, "seed takes a whole number from 0 up, not -1"),
        (POLICY, "digits", "o.html", {"text": "a"}, "--text names a column of a CSV file, and digits is not one"),
        (augment.random_swap(), "digits", "o.html", {}, "random_swap is for texts, and these are pictures"),
        (augment.random_swap(), "texts.txt", "o.png", {}, "a preview of texts is a page: write it as o.html"),
        (
            augment.random_swap(),
            "blank.txt",
            "o.html",
            {},
            "blank.txt is empty; give a file with a text on each",
        ),
        (augment.random_swap(), "latin.txt", "o.html", {}, "latin.txt is no picture by its name, and no UTF-8 text "),
        (
            augment.random_swap(),
            "two.csv",
            "o.html",
            {},
            "say which column of two.csv has the texts, with --text",
        ),
        (augment.random_swap(), "two.csv", "o.html", {"text": "on"}, 'unknown column of two.csv: "on"; did you mean'),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    folder, lines, tmp_path, monkeypatch, policy, path, out, more, message
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(BROKEN)
    (tmp_path / "blank.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes("déjà vu\n".encode("latin-1"))
    (tmp_path / "two.csv").write_text("one,two\na b c,d e f\ng h i,j k l\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as told:
        preview(policy, path, out, **more)
    assert str(told.value).startswith(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_there_stays_where_nothing_can_be_written(folder, tmp_path):
    (tmp_path / "out.html").mkdir()
    with pytest.raises(InputError, match=r"out.html cannot be written: Is a directory"):
        preview(POLICY, folder, tmp_path / "out.html")
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["trivial", "rand", "augmix"])
def test_policies_that_choose_are_shown_on_grey_pictures(name, folder, tmp_path):
    done = preview(augment.CATALOGUE[name](), folder, tmp_path / "out.html", samples=12, epochs=8)
    assert len(images_in(done.out.read_text())) == 12 * 9


def test_grey_pictures_among_coloured_ones_have_three_channels_as_in_a_task(folder, tmp_path):
    with pytest.raises(InputError, match=r"digits/00\.png: hue takes pictures of 3 channels, not 1"):
        preview(augment.hue(p=0.01), folder, tmp_path / "out.html")
    cv2.imwrite(str(folder / "zz.png"), np.stack([DIGITS[0], DIGITS[1], DIGITS[2]], -1))
    page = preview(augment.hue(p=1.0), folder, tmp_path / "out.html", samples=13, epochs=1).out.read_text()
    assert {image.shape[2:] for image in images_in(page)} == {(3,)}
