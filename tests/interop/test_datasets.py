"""Our augmentation in Hugging Face datasets' ``map`` and ``with_transform``."""

import numpy as np


def test_the_example_gives_what_the_policy_alone_gives(example):
    found = example("with_datasets").main()
    texts = found["texts"]
    assert texts["rows"] == texts["two processes"] == texts["batches"] == texts["alone"]
    assert len(set(texts["rows"])) == 40
    whole, selected, later = found["pictures"]
    assert np.array_equal(selected[0], whole[7])
    assert np.array_equal(selected[1], whole[3])
    assert not np.array_equal(np.array(whole), np.array(later))


def test_its_rows_are_augmented(example):
    module = example("with_datasets")
    data = module.reviews()
    changed = [a != b for a, b in zip(data["text"], module.mapped(data, 0)["text"], strict=True)]
    assert sum(changed) >= 35
