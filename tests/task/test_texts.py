"""A CSV file of texts becomes a task whose strings stay at hand; a table stays a table."""

import csv
import io

import pytest
import torch

from thalweg import InputError, load_task
from thalweg.task import check
from thalweg.task.models import Windows
from thalweg.task.texts import Vocabulary, split_words

NOUNS = ("film", "book", "play", "song", "meal", "trip")
GOOD = [f"A truly good {NOUNS[i % 6]}, number {i}" for i in range(30)]
BAD = [f"This {NOUNS[i % 6]} was bad... {'very ' * (i % 4)}bad: {i}!" for i in range(30)]
TEXTS = [text for pair in zip(GOOD, BAD, strict=True) for text in pair]
LABELS = ["good", "bad"] * 30


@pytest.fixture
def load(tmp_path):
    """Write columns to a file, and load them as a task."""

    def make(target="label", text=None, **columns):
        out = io.StringIO()
        csv.writer(out).writerows([list(columns), *zip(*columns.values(), strict=True)])
        (tmp_path / "reviews.csv").write_text(out.getvalue())
        return load_task(tmp_path / "reviews.csv", target=target, text=text)

    return make


def test_a_column_of_free_text_is_one(load, tmp_path):
    task = load(review=TEXTS, label=LABELS)
    assert (task.name, task.metric.name, task.padding) == ("reviews", "accuracy", 0)
    assert task.origin.expression == f"from_csv({str(tmp_path / 'reviews.csv')!r}, 'label', 'review')"
    assert [int("good" in text) for text in task.texts] == task.train.targets.tolist()
    assert torch.equal(task.encoded(task.texts), task.train.inputs)
    said = "label is taken for 2 classes (bad, good); review is read as texts of at most 14 words"
    assert task.note.startswith(said)
    check(task)


def test_the_vocabulary_is_that_of_the_training_texts(load):
    task = load(review=TEXTS, label=LABELS)
    known = set(task.encode.numbers)
    assert known <= {word for text in task.texts for word in split_words(text)}
    others = [text for text in TEXTS if text not in task.texts]
    changed = [
        text if text in task.texts else text.replace("number", "unheard").replace("was", "unseen") for text in TEXTS
    ]
    again = load(review=changed, label=LABELS)
    assert again.encode.numbers == task.encode.numbers
    assert torch.equal(again.train.inputs, task.train.inputs)
    assert not torch.equal(again.test.inputs, task.test.inputs)
    assert len(others) == 24
    assert (again.test.inputs == 1).sum() > (task.test.inputs == 1).sum()


def test_a_column_can_be_named_and_others_are_left_out(load):
    task = load(review=TEXTS, stars=[i % 5 for i in range(60)], label=LABELS, text="review")
    assert task.texts == load(review=TEXTS, label=LABELS).texts
    assert task.note.endswith("; left out: stars")
    short = load(word=[text.split()[2] for text in TEXTS], label=LABELS, text="word")
    assert short.train.inputs.shape == (36, 1)


def test_a_quantity_can_be_predicted(load):
    task = load(review=TEXTS, price=[f"{i * 0.37 % 1:.3f}" for i in range(60)], target="price")
    assert task.metric.name == "relative squared error"
    assert task.train.targets.std(correction=0).item() == pytest.approx(1)
    check(task)


@pytest.mark.parametrize(
    "column",
    [
        [f"{i * 1.5}" for i in range(60)],
        [("a b c", "d e f", "g h i")[i % 3] for i in range(60)],
        [f"item {i % 20}" for i in range(60)],
    ],
    ids=["numbers", "categories", "short"],
)
def test_a_table_stays_a_table(load, column):
    task = load(x=column, label=LABELS)
    assert task.texts is None
    assert task.origin.expression.count(",") == 1


def test_a_table_with_texts_beside_says_how_to_read_them(load):
    with pytest.raises(
        InputError, match=r'has \d+ different texts in 36 training rows; .*it alone with --text "review"'
    ):
        load(review=TEXTS, size=range(60), label=LABELS)


# -- words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't PANIC!", ["don't", "panic", "!"]),
        ("l’été, déjà", ["l’été", ",", "déjà"]),
        ("e\u0301te\u0301", ["été"]),
        ("日本語 です", ["日", "本", "語", "で", "す"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("🙂🙂 v1.2", ["🙂", "🙂", "v1", ".", "2"]),
        ("\u200b \t", ["\u200b"]),
        ("a_b", ["a", "_", "b"]),
    ],
)
def test_words_of_any_script(text, words):
    assert split_words(text) == words


def test_words_that_occur_once_are_unknown_unless_all_do():
    vocabulary = Vocabulary(["a b b", "c c c b"])
    assert vocabulary.numbers == {"b": 2, "c": 3}
    assert vocabulary(["c a b zebra"]) == [[3, 1, 2, 1]]
    assert Vocabulary(["a b"]).numbers == {"a": 2, "b": 3}


def test_long_texts_are_cut_and_the_note_says_so(load):
    texts = [text + (" and so on" * 200 if i in (7, 20, 33) else "") for i, text in enumerate(TEXTS)]
    task = load(review=texts, label=LABELS)
    assert task.train.inputs.shape[1] <= 128
    assert task.note.endswith("of 60 are cut)")
    assert torch.equal(task.encoded(task.texts), task.train.inputs)


def test_the_model_does_not_see_padding_but_sees_order():
    torch.manual_seed(0)
    model = Windows(10, 3)
    x = torch.tensor([[5, 3, 2], [4, 0, 0]])
    longer = torch.nn.functional.pad(x, (0, 4))
    assert torch.allclose(model(x), model(longer), atol=1e-6)
    assert not torch.allclose(model(x)[0], model(x[:, [1, 0, 2]])[0])
    assert torch.isfinite(model(torch.zeros(1, 4, dtype=torch.long))).all()


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"review": ["", *TEXTS[1:]]},
            {"text": "review"},
            'reviews.csv has missing values: 1 in review (the first in row 2, column "review"); leave their rows out',
        ),
        ({"review": TEXTS}, {"text": "revue"}, 'unknown column of reviews.csv: "revue"; did you mean "review"?'),
        ({"review": TEXTS}, {"text": "label"}, '"label" of reviews.csv is what is predicted; name another column'),
        ({"review": TEXTS}, {"target": "lable"}, 'unknown column of reviews.csv: "lable"; did you mean "label"?'),
    ],
)
def test_mistakes_are_said_with_row_and_column(load, columns, options, message):
    with pytest.raises(InputError) as told:
        load(**columns, label=LABELS, **options)
    assert str(told.value).startswith(message)


@pytest.mark.parametrize("spec", ["wine", "task.py:task"])
def test_text_is_for_files_of_columns(spec):
    with pytest.raises(InputError, match=f"--text names a column of a CSV file, and {spec} is not one"):
        load_task(spec, text="review")
