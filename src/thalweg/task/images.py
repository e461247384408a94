"""Pictures: a folder with a subfolder for each class, or a CSV file of paths and what is predicted."""

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
from torch.nn import functional as F

from thalweg import InputError, Task, split
from thalweg.augment.image._files import SUFFIXES, files_in, is_picture, read_picture, resized_to
from thalweg.task.columns import SHARES, read_columns, read_goal
from thalweg.task.gaps import is_gap, without_gaps
from thalweg.task.judged import judge
from thalweg.task.models import CNN

LARGEST = 64
"""Where no size is given: pictures of one size up to this many pixels a side keep it, others become so large."""

SPLITS = ("train", "valid", "test")
PARTS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid",
         "test": "test", "testing": "test"}  # fmt: skip
"""Names of folders that hold a split, in small letters."""


def from_folder(path, size=None, name=None, metric=None):
    """Return the task of telling which subfolder a picture lies in.

    Subfolders are the classes, in the order of their names; pictures lie in them or deeper, and are taken in the
    order of their paths, whatever the file system says. What is no picture by its name is left out, and the task's
    note counts it. Subfolders ``train``, ``valid`` and ``test``, a subfolder a class in each, are the three splits.

    Args:
        path: the folder.
        size: of the pictures, pixels a side or (height, width). If not given, they keep theirs where they all have
            one, of at most 64 pixels a side, and become 64 × 64 else. Resizing keeps the whole picture, not the
            proportion of its sides.
        name: what reports call the task; the folder's name if not given.
        metric: "accuracy", if not given, or "balanced_accuracy".

    Raises:
        InputError: no OpenCV; no subfolders with pictures; a class of fewer than 3; a file that is no picture.
    """
    path = Path(path)
    folders = subfolders(path)
    parts = {folder.name: PARTS[folder.name.lower()] for folder in folders if folder.name.lower() in PARTS}
    given = len(set(parts.values()))
    if given >= 2 and len(parts) == len(folders):
        places = {part: path / folder for folder, part in parts.items()}
        return from_splits(path, {part: places[part] for part in SPLITS if part in places}, size, name, metric)
    classes = [folder.name for folder in folders]
    files, labels, left = read_classes(path, classes)
    counts = Counter(labels)
    for i, class_ in enumerate(classes):
        if counts[i] < 3:
            raise InputError(
                f"{path / class_} has {some(counts[i])}, and every class needs 3, one for each split; add some, or "
                "take the folder out"
            )
    if len(classes) < 2:
        raise InputError(f'{path} has pictures in one subfolder alone, "{classes[0]}"; there is nothing to learn')
    images, said = read_images(files, size)
    labels = np.array(labels)
    rows = split(len(labels), SHARES, 0, labels)
    train, valid, test = ((images[part], labels[part]) for part in rows)
    return task_of(name or path.resolve().name, train, valid, test, len(classes), note(classes, said, left), metric)


def from_splits(path, folders, size, name, metric=None):
    """Return the task of a folder with one subfolder for each split."""
    missing = [part for part in SPLITS if part not in folders]
    if missing:
        raise InputError(
            f"{path} has {' and '.join(folder.name for folder in folders.values())}, but no {missing[0]}; put all "
            "pictures into one subfolder for each class, or give all three of train, valid and test"
        )
    names = {part: [folder.name for folder in subfolders(folder)] for part, folder in folders.items()}
    for part in ("valid", "test"):
        if odd := sorted(set(names[part]) ^ set(names["train"])):
            where, other = (part, "train") if odd[0] in names[part] else ("train", part)
            raise InputError(
                f"{folders[where]} has the class {odd[0]}, and {folders[other]} has not; each split needs every class"
            )
    classes = names["train"]
    if len(classes) < 2:
        raise InputError(
            '{} has one class alone, "{}"; there is nothing to learn'.format(folders["train"], classes[0])
        )
    files, labels, left = zip(*(read_classes(folders[part], classes) for part in SPLITS), strict=True)
    images, said = read_images([file for part in files for file in part], size)
    pieces = np.split(images, np.cumsum([len(part) for part in files])[:-1])
    train, valid, test = ((x, np.array(y)) for x, y in zip(pieces, labels, strict=True))
    others = [file for part in left for file in part]
    return task_of(name or path.resolve().name, train, valid, test, len(classes), note(classes, said, others), metric)


def from_csv(path, target, column, size=None, name=None, missing=None, metric=None):
    """Return the task of predicting one column of a CSV file from the pictures that another names.

    Args:
        path: a CSV file with a header.
        target: the column to predict: classes, or a quantity, as for tables.
        column: that with the pictures' paths, which start from the CSV file's own folder.
        size: as for `from_folder`.
        name: what reports call the task; the file's name if not given.
        missing: "fill" or "drop" leave out the rows without a picture or a target; they are refused if not given.
        metric: as for tables.

    Raises:
        InputError: as for tables, and as for `from_folder`, with the row.
    """
    path = Path(path)
    columns, texts, numbers = read_columns(path, target)
    used = {column: columns.pop(column)}
    used, texts, numbers, gaps = without_gaps(path, target, used, texts, numbers, missing, fills=False)
    goal = read_goal(path, target, texts, numbers)
    files = []
    for number, text in zip(numbers, used[column], strict=True):
        files.append((beside(path, text, number), f"{path.name}, row {number}: {text}"))
    images, said = read_images(files, size)
    parts = goal.parts(images)
    others = f"; left out: {', '.join(columns)}" if columns else ""
    others += f"; {gaps}" if gaps else ""
    task = Task(
        name=name or path.stem, model=model_of(parts["train"][0], goal.outputs), **parts, **goal.judged(metric),
        note=f"{goal.note}; {said}{others}",
    )  # fmt: skip
    task.classes = tuple(goal.classes)
    return task


def named_in(columns):
    """Return the column whose values all end as names of pictures do, or None.

    Raises:
        InputError: there are two.
    """
    given = {name: [text.lower() for text in texts if not is_gap(text)] for name, texts in columns.items()}
    found = [name for name, texts in given.items() if texts and all(text.endswith(SUFFIXES) for text in texts)]
    if len(found) > 1:
        raise InputError(f"the columns {' and '.join(found)} both name pictures; keep one of them")
    return found[0] if found else None


def beside(path, text, number):
    """Return the file that a row of a CSV file names; its path starts from the CSV file's folder."""
    file = path.parent / text
    if not file.is_file() and "\\" in text:
        file = path.parent / text.replace("\\", "/")
    if not file.is_file():
        raise InputError(f"{path.name}, row {number}: there is no file {file}; paths start from the CSV's folder")
    return file


def subfolders(path):
    """Return a folder's subfolders by their names, but those that begin with a dot or an underscore twice."""
    try:
        found = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not found:
        raise InputError(f"{path} has no subfolders; put the pictures of each class into one of its own")
    return sorted(found, key=lambda entry: unicodedata.normalize("NFC", entry.name))


def read_classes(path, names):
    """Return the pictures of each class with what messages call them, their labels, and the files that are none."""
    files, labels, left = [], [], []
    for i, class_ in enumerate(names):
        files_here = files_in(path / class_)
        found = [file for file in files_here if is_picture(file)]
        if not found:
            raise InputError(
                f"{path / class_} has no pictures ({', '.join(SUFFIXES[:3])}, …); add some, or take it out"
            )
        left += [str(file.relative_to(path)) for file in files_here if not is_picture(file)]
        files += [(file, str(file)) for file in found]
        labels += [i] * len(found)
    return files, labels, left


def read_images(files, size=None):
    """Return pictures as floats from 0 to 1, (N, channels, height, width), and a sentence on their sizes.

    Grey ones get three channels where any has colours.
    """
    asked = None if size is None else sides(size)
    images: list[np.ndarray] = []
    sizes: Counter[tuple[int, int]] = Counter()
    for file, name in files:
        image = read_picture(file, name)
        sizes[image.shape[:2]] += 1
        if asked is not None:
            image = resized_to(image, asked)
        elif max(image.shape[:2]) > LARGEST:
            image = resized_to(image, (LARGEST, LARGEST))
        images.append(image)
    alike = len(sizes) == 1 and max(next(iter(sizes))) <= LARGEST
    to = asked or (images[0].shape[:2] if alike else (LARGEST, LARGEST))
    channels = 3 if any(image.ndim == 3 for image in images) else 1
    fits(len(images), channels, to)
    found = np.empty((len(images), channels, *to), np.float32)
    for i, image in enumerate(images):
        found[i] = np.atleast_3d(resized_to(image, to)).transpose(2, 0, 1) / np.float32(np.iinfo(image.dtype).max)
    kind = "grey pictures" if channels == 1 else "pictures"
    first = f"{sizes.most_common(1)[0][0][0]} × {sizes.most_common(1)[0][0][1]}"
    before = f"of {len(sizes)} sizes" if len(sizes) > 1 else f"of {first}"
    changed = set(sizes) != {to}
    return found, f"{len(images)} {kind} {before}{f', resized to {to[0]} × {to[1]}' if changed else ''}"


def sides(size):
    """Return (height, width) of what was given as a size: 64, "64", "48x64", (48, 64)."""
    if isinstance(size, str):
        read = re.fullmatch(r"\s*(\d+)\s*(?:[x×,]\s*(\d+)\s*)?", size)
        size = None if read is None else (int(read[1]), int(read[2] or read[1]))
    elif isinstance(size, int) and not isinstance(size, bool):
        size = (size, size)
    whole = isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(n, int) for n in size)
    if not whole or not all(4 <= n <= 4096 for n in size):
        raise InputError("a size is pixels a side such as 64, or height and width such as 48x64, each from 4 to 4096")
    return tuple(size)


def fits(count, channels, size):
    """Refuse pictures that would take more than half of the memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return
    need = 4 * count * channels * size[0] * size[1]
    if need > memory / 2:
        raise InputError(
            f"{count} pictures of {size[0]} × {size[1]} take {need / 1e9:.0f} GB, more than half of this machine's "
            "memory; give a smaller --size"
        )


def model_of(images, outputs):
    """Return a function that makes a model for pictures (N, channels, height, width), scaled as the training ones."""
    mean, deviation = images.mean((0, 2, 3), dtype=np.float64), images.std((0, 2, 3), dtype=np.float64)
    mean, deviation = mean.tolist(), np.where(deviation > 0, deviation, 1.0).tolist()
    shape = images.shape[1:]
    return lambda: CNN(shape, outputs, mean, deviation)


def task_of(name, train, valid, test, classes, note, metric=None):
    """Return the task of telling classes apart."""
    return Task(
        name=name, model=model_of(train[0], classes), train=train, valid=valid, test=test, loss=F.cross_entropy,
        metric=judge(metric, np.concatenate([valid[1], test[1]])), note=note,
    )  # fmt: skip


def note(classes, said, left):
    """Return the sentence on how a folder was understood."""
    shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
    if left:
        files = f"{left[0]} is" if len(left) == 1 else f"{left[0]} and {len(left) - 1} more are"
        said += f"; {files} left out"
    return f"{len(classes)} classes ({shown}); {said}"


def some(count):
    """Return a number of pictures in words."""
    return f"{count} picture{'s' * (count != 1)}"
