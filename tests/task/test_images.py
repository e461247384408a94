"""Folders and lists of pictures become tasks; what cannot be read is said with its file."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import sklearn.datasets
import torch
from sklearn.datasets import load_digits

from thalweg import InputError, load_task
from thalweg.augment.image._files import read_picture
from thalweg.task import check, fingerprint
from thalweg.task.images import from_folder, read_images, sides

PIXELS, LABELS = load_digits(return_X_y=True)
PIXELS = np.rint(PIXELS.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
NAMES = ("zero", "one", "two")


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    done, content = cv2.imencode(path.suffix, image[..., ::-1] if image.ndim == 3 else image)
    assert done
    path.write_bytes(content.tobytes())
    return path


def written(folder, count=90, names=NAMES, suffix=".png"):
    """Write the first zeros, ones and twos, a subfolder for each."""
    chosen = [i for i in range(len(LABELS)) if LABELS[i] < len(names)][:count]
    for i in chosen:
        write(folder / names[LABELS[i]] / f"{i:03}{suffix}", PIXELS[i])
    return chosen


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "digits")
    return tmp_path / "digits"


def same(one, two):
    parts = ("train", "valid", "test")
    return all(torch.equal(getattr(one, p).inputs, getattr(two, p).inputs) for p in parts) and all(
        torch.equal(getattr(one, p).targets, getattr(two, p).targets) for p in parts
    )


def test_subfolders_are_classes(folder):
    task = load_task(folder)
    assert task.name == "digits"
    assert task.train.inputs.shape == (54, 1, 8, 8)
    assert [len(part) for part in (task.train, task.valid, task.test)] == [54, 18, 18]
    assert task.note == "3 classes (one, two, zero); 90 grey pictures of 8 × 8"
    known = {PIXELS[i].tobytes(): LABELS[i] for i in range(len(LABELS))}
    for part in (task.train, task.valid, task.test):
        levels = (part.inputs * 255).round().to(torch.uint8).numpy()
        labels = [("one", "two", "zero")[i] for i in part.targets]
        assert [NAMES[known[image.tobytes()]] for image in levels] == labels
    check(task)


def test_a_task_is_made_again_by_its_expression(folder):
    task = load_task(f"{folder}/", size="12x10")
    assert task.origin.expression == f"from_folder({str(folder)!r}, size=(12, 10))"
    assert task.train.inputs.shape[1:] == (1, 12, 10)
    assert same(task, from_folder(str(folder), size=(12, 10)))


def test_the_order_of_files_is_that_of_their_names(folder, tmp_path):
    other = tmp_path / "again" / "digits"
    for path in sorted(folder.rglob("*.png"), reverse=True):  # made the other way round
        (other / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other / path.parent.name / path.name)
    assert same(load_task(folder), load_task(other))
    assert fingerprint(load_task(folder)) == fingerprint(load_task(other))


def test_the_fingerprint_sees_one_level(folder):
    before = fingerprint(load_task(folder))["data"]
    path = next(folder.rglob("*.png"))
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    image[0, 0] += 1
    write(path, image)
    assert fingerprint(load_task(folder))["data"] != before


def test_deeper_pictures_count_and_other_files_do_not(folder):
    before = load_task(folder)
    deeper = folder / "one" / "more" / "a.png"
    write(deeper, PIXELS[0])
    write(folder / "one" / ".trash" / "b.png", PIXELS[0])
    (folder / "one" / "notes.txt").write_text("taken in May")
    (folder / "one" / ".DS_Store").write_bytes(b"\0")
    (folder / ".cache").mkdir()
    (folder / "README").write_text("digits")
    task = load_task(folder)
    assert len(task.train) + len(task.valid) + len(task.test) == 91
    assert task.note == f"{before.note.replace('90', '91')}; one/notes.txt is left out"


def test_splits_that_are_given_are_kept(tmp_path):
    for part, start in (("train", 0), ("val", 40), ("test", 60)):
        for i in range(start, start + 20):
            write(tmp_path / part / ("even" if LABELS[i] % 2 == 0 else "odd") / f"{i}.png", PIXELS[i])
    task = load_task(tmp_path)
    for part, start in ((task.train, 0), (task.valid, 40), (task.test, 60)):
        assert len(part) == 20
        assert part.targets.tolist() == sorted(LABELS[start : start + 20] % 2)
    shutil.rmtree(tmp_path / "val")
    with pytest.raises(InputError, match="has train and test, but no valid; put all pictures into one subfolder"):
        load_task(tmp_path)


def test_a_size_keeps_the_whole_picture(folder):
    photo = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
    (folder / "photo").mkdir()
    for i in range(3):
        shutil.copy(photo, folder / "photo" / f"{i}.jpg")
    image = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
    task = load_task(folder)
    assert task.train.inputs.shape[1:] == (3, 64, 64)
    assert task.note.endswith("93 pictures of 2 sizes, resized to 64 × 64")
    photo = task.train.inputs[task.train.targets == 1][0].numpy().transpose(1, 2, 0)
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) / 255
    assert np.abs(photo - small).max() < 1e-6
    digit = task.train.inputs[task.train.targets == 0][0]
    assert torch.equal(digit[0], digit[1])
    check(task)


@pytest.mark.parametrize(
    ("size", "found"), [(8, (8, 8)), ("64", (64, 64)), ("48x64", (48, 64)), ("48 × 64", (48, 64)), ((5, 7), (5, 7))]
)
def test_sizes_are_written_as_one_likes(size, found):
    assert sides(size) == found


@pytest.mark.parametrize("size", [0, 3, "", "big", "64x", "0x9", 1.5, True, (1, 2, 3), 5000, -8])
def test_a_size_that_is_none_is_refused(folder, size):
    with pytest.raises(InputError, match="a size is pixels a side such as 64, or height and width such as 48x64"):
        load_task(folder, size=size)


# -- kinds of files -------------------------------------------------------------------------------------


def test_every_depth_and_form_is_read(tmp_path):
    grey = PIXELS[3]
    colour = np.stack([grey, 255 - grey, grey // 2], -1)
    assert np.array_equal(read_picture(write(tmp_path / "grey.png", grey)), grey)
    assert np.array_equal(read_picture(write(tmp_path / "colour.png", colour)), colour)
    assert np.array_equal(read_picture(write(tmp_path / "colour.bmp", colour)), colour)
    assert np.array_equal(read_picture(write(tmp_path / "colour.tiff", colour)), colour)
    deep = grey.astype(np.uint16) * 257 - (grey > 0)
    assert np.array_equal(read_picture(write(tmp_path / "deep.png", deep)), deep)
    found, _ = read_images([(tmp_path / "deep.png", "")])
    assert np.array_equal(found[0, 0], deep / np.float32(65535))


def test_what_is_transparent_lies_on_white(tmp_path):
    colour = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    opaque = np.full((4, 4, 1), 255, np.uint8)
    bgra = np.concatenate([colour[..., ::-1], opaque], -1)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", bgra)[1].tobytes())
    assert np.array_equal(read_picture(tmp_path / "a.png"), colour)
    bgra[0, 0, 3], bgra[0, 1, 3] = 0, 51
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", bgra)[1].tobytes())
    found = read_picture(tmp_path / "a.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 1].tolist() == [206, 208, 210]  # a fifth of the colour, four of white


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    wide = np.zeros((8, 16), np.uint8)
    content = cv2.imencode(".jpg", wide)[1].tobytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
    length = (len(turned) + 2).to_bytes(2, "big")
    (tmp_path / "a.jpg").write_bytes(content[:2] + b"\xff\xe1" + length + turned + content[2:])
    assert read_picture(tmp_path / "a.jpg").shape == (16, 8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_a_broken_picture_is_one_sentence(tmp_path, capfd, suffix):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = cv2.imencode(suffix, image)[1].tobytes()
    for content in (whole[: len(whole) // 2], b"no picture at all", whole[:12]):
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(InputError, match=f"a{suffix} cannot be read as a picture: it is broken, or none; save "):
            read_picture(tmp_path / f"a{suffix}")
    if suffix != ".webp":
        assert capfd.readouterr() == ("", "")


def test_empty_files_and_floats_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png is empty; put a picture there, or take it out"):
        read_picture(tmp_path / "a.png")
    write(tmp_path / "a.tiff", PIXELS[0].astype(np.float32))
    with pytest.raises(InputError, match=r"a\.tiff has levels of type float32; save it with 8 or 16 bits"):
        read_picture(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_picture(tmp_path / "none.png")


def test_without_opencv_one_line_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(InputError, match=r"reading pictures needs OpenCV: pip install 'thalweg\[image\]'"):
        load_task(folder)


# -- mistakes ------------------------------------------------------------------------------------------


def no_subfolders(folder):
    for path in folder.iterdir():
        shutil.rmtree(path)


def one_class(folder):
    shutil.rmtree(folder / "one")
    shutil.rmtree(folder / "two")


def an_empty_class(folder):
    (folder / "three").mkdir()


def a_rare_class(folder):
    for i in range(2):
        write(folder / "three" / f"{i}.png", PIXELS[i])


def a_broken_file(folder):
    (folder / "one" / "x.png").write_bytes(b"PNG?")


def no_rights(folder):
    shutil.rmtree(folder)
    folder.write_text("a file")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_subfolders, "digits has no subfolders; put the pictures of each class into one of its own"),
        (one_class, 'digits has pictures in one subfolder alone, "zero"; there is nothing to learn'),
        (an_empty_class, r"digits/three has no pictures \(.png, .jpg, .jpeg, …\); add some, or take it out"),
        (a_rare_class, "digits/three has 2 pictures, and every class needs 3, one for each split"),
        (a_broken_file, r"digits/one/x.png cannot be read as a picture"),
        (no_rights, r"digits is neither a CSV file \(.csv, .tsv\), .npz, a Python file \(.py\), nor a folder"),
    ],
)
def test_a_folder_that_is_no_task_is_said_so(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        load_task(folder)


def test_pictures_that_do_not_fit_into_memory_are_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    with pytest.raises(InputError, match="90 pictures of 8 × 8 take 0 GB, more than half of this machine's memory"):
        load_task(folder)


# -- lists ---------------------------------------------------------------------------------------------


def listed(tmp_path, rows, header="file,label"):
    (tmp_path / "list.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "list.csv"


def test_a_list_of_paths_starts_from_its_own_folder(tmp_path, folder, monkeypatch):
    files = sorted(folder.rglob("*.png"))
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in files]
    monkeypatch.chdir("/")
    task = load_task(listed(tmp_path, rows), target="label")
    assert same(task, load_task(folder))
    assert task.note == "label is taken for 3 classes (one, two, zero); 90 grey pictures of 8 × 8"
    assert task.origin.expression == f"from_csv({str(tmp_path / 'list.csv')!r}, 'label', 'file')"
    assert load_task(tmp_path / "list.csv", target="label", size=16).train.inputs.shape[2:] == (16, 16)
    turned = [row.replace("/", "\\") for row in rows]
    assert same(task, load_task(listed(tmp_path, turned), target="label"))


def test_a_quantity_can_be_predicted_and_other_columns_are_left_out(tmp_path, folder):
    files = sorted(folder.rglob("*.png"))
    rows = [f"{i},digits/{path.parent.name}/{path.name},{i * 0.37 % 1:.3f}" for i, path in enumerate(files)]
    task = load_task(listed(tmp_path, rows, "id,file,weight"), target="weight")
    assert task.metric.name == "relative squared error"
    assert task.train.inputs.shape == (54, 1, 8, 8)
    assert task.train.targets.mean().item() == pytest.approx(0, abs=1e-6)
    assert task.note.endswith("; left out: id")
    check(task)


def test_a_list_with_mistakes_is_answered_with_its_row(tmp_path, folder):
    rows = [f"{path},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    with pytest.raises(InputError, match=r"list.csv, row 4: there is no file .*none.png; paths start from "):
        load_task(listed(tmp_path, [*rows[:2], "none.png,one", *rows[2:]]), target="label")
    (tmp_path / "broken.png").write_bytes(b"PNG?")
    with pytest.raises(InputError, match=r"list.csv, row 3: broken.png cannot be read as a picture"):
        load_task(listed(tmp_path, [rows[0], "broken.png,one", *rows[1:]]), target="label")
    twice = [f"{row.partition(',')[0]},{row}" for row in rows]
    with pytest.raises(InputError, match="the columns file and again both name pictures; keep one of them"):
        load_task(listed(tmp_path, twice, "file,again,label"), target="label")


@pytest.mark.parametrize("spec", ["wine", "rows.csv"])
def test_a_size_without_pictures_is_refused(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("\n".join(["a,b", *(f"{i},{i * 1.5 % 7}" for i in range(20))]))
    more = {"target": "b"} if spec == "rows.csv" else {}
    with pytest.raises(InputError, match=f"--size is that of pictures from files, and {spec} names none"):
        load_task(spec, size=32, **more)
