"""A remedy is one that can be followed for the task at hand."""

import numpy as np

from checked import found
from thalweg import load_task


def rare(folder):
    draws = np.random.default_rng(0)
    rows = [f"{x:.3f},{'yes' if i % 20 == 0 else 'no'}" for i, x in enumerate(draws.normal(size=400))]
    (folder / "rare.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    return folder / "rare.csv"


def test_a_rare_class_of_a_file_is_to_be_judged_by_a_metric_that_can_be_asked_for(tmp_path):
    seen = found(load_task(rare(tmp_path), target="y"), "targets")
    assert (seen.level, "--metric balanced_accuracy" in seen.remedy) == ("note", True)
    alike = load_task(rare(tmp_path), target="y", metric="balanced_accuracy")
    assert (found(alike, "targets").level, "counts alike" in found(alike, "targets").what) == ("fine", True)


def test_a_task_that_says_its_own_metric_is_not_told_of_an_option_that_it_does_not_take(tmp_path):
    """Also where its file calls the function by the name that ours has."""
    (tmp_path / "mine.py").write_text(
        f"import thalweg\n\n\ndef from_csv():\n    return thalweg.load_task({str(rare(tmp_path))!r}, target='y')\n"
    )
    seen = found(load_task(f"{tmp_path}/mine.py:from_csv"), "targets")
    assert (seen.level, "--metric" in seen.remedy, "balanced_accuracy(y)" in seen.remedy) == ("note", False, True)


def test_the_model_of_texts_begins_near_the_loss_of_one_that_knows_nothing_and_places_are_words(tmp_path):
    draws = np.random.default_rng(0)
    words = [f"word{i}" for i in range(300)]
    rows = [f"{' '.join(draws.choice(words, 60))},{'abcd'[i % 4]}" for i in range(400)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    task = load_task(tmp_path / "texts.csv", target="label", text="text")
    assert found(task, "loss at start").level == "fine"
    assert "the word at place" in found(task, "leakage").what
