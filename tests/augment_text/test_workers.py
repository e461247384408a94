"""What becomes of a text does not depend on who edits it: the number of workers, the process, or its batch."""

import os
import subprocess
import sys

import pytest

from thalweg import augment

TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "A quick idea: big dogs jumped over an idle FOX. And the lazy dog quickly had another thought!",
    "السَّلامُ عليكم dog हिन्दी भाषा quick 今天天气 fox e\u0301te\u0301 👩\u200d👩\u200d👧 שלום",
    "",
] * 6


class Edited:
    """A data set whose examples are edited one by one."""

    def __init__(self, policy):
        self.policy = policy

    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, i):
        return i, self.policy.text(TEXTS[i], sample=i, epoch=3, seed=5)


class Together:
    """A ``collate_fn`` that edits a batch's texts at once."""

    def __init__(self, policy):
        self.policy = policy

    def __call__(self, numbers):
        return [(i, done.text) for i, done in zip(numbers, self.edited(numbers), strict=True)]

    def edited(self, numbers):
        return self.policy.texts([TEXTS[i] for i in numbers], numbers, epoch=3, seed=5)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    from augment_text.small_sources import small_ppdb, small_vectors, small_wordnet

    folder = tmp_path_factory.mktemp("sources")
    return policy_of(
        small_wordnet(folder / "wordnet"), small_ppdb(folder / "ppdb"), small_vectors(folder / "vectors.txt")
    )


def policy_of(wordnet, ppdb, vectors):
    """Return a policy with all steps of texts that ask no model."""
    words = augment.synonym(path=str(wordnet)) >> augment.ppdb(path=str(ppdb)) >> augment.vectors(path=str(vectors))
    added = augment.random_insertion(path=str(wordnet)) >> augment.random_swap() >> augment.random_deletion()
    letters = augment.keyboard() >> augment.typo() >> augment.random_letter() >> augment.case() >> augment.ocr()
    return words >> added >> letters


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_change_no_byte(policy):
    from torch.utils.data import DataLoader

    found = []
    for workers in (0, 1, 2, 4):
        alone = DataLoader(Edited(policy), batch_size=None, num_workers=workers)
        batched = DataLoader(range(len(TEXTS)), batch_size=5, num_workers=workers, collate_fn=Together(policy))
        found += [[text for _, text in alone], [text for batch in batched for _, text in batch]]
    assert all(each == found[0] for each in found)
    assert len(found[0]) == len(TEXTS)
    assert len(set(found[0])) > 15


def test_another_process_with_other_hashes_gives_the_same(policy):
    paths = [str(dict(part.values)["path"]) for part in policy.parts[:3]]
    code = "import sys; from augment_text import test_workers as t; t.say(t.policy_of(*sys.argv[1:]))"
    expected = [policy.text(text, sample=i, epoch=3, seed=5) for i, text in enumerate(TEXTS)]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, check=True, encoding="utf-8",
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.stdout == f"{expected!r}\n"


def say(policy):
    """Print what becomes of all texts."""
    sys.stdout.reconfigure(encoding="utf-8")
    print([policy.text(text, sample=i, epoch=3, seed=5) for i, text in enumerate(TEXTS)])
