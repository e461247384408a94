"""Our optimizers and schedules in the Trainer of transformers: which package is a docstring from?

A small BERT with random weights learns to tell docstrings of four packages of Python's standard library apart. The
texts are read from the running interpreter, the tokenizer is made from their words, and nothing is downloaded.

Source: transformers' documentation of ``Trainer(optimizers=…)``; needs ``transformers`` and ``accelerate``.

What to see: training leaves a checkpoint in its middle; a new Trainer that goes on from there ends in the same bits,
dropout and the order of the data included.
"""

import argparse
import ast
import re
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)  # fmt: skip

import thalweg as tw

PACKAGES = ("asyncio", "email", "importlib", "unittest")
STEPS, HALF, MOST = 60, 25, 150


def docstrings():
    """Return texts, and the number of the package that each is from."""
    texts, labels = [], []
    for label, package in enumerate(PACKAGES):
        found = set()
        for path in sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old escapes in someone else's strings
                tree = ast.parse(path.read_bytes())
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
            found |= {ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)}
        chosen = sorted(text for text in found if len(text.split()) >= 4)[:MOST]
        texts += chosen
        labels += [label] * len(chosen)
    return texts, labels


def tokenizer_of(texts):
    """Return a tokenizer whose words are the 1,000 most frequent of the texts."""
    counts = Counter(word for text in texts for word in re.findall(r"\w+", text.lower()))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:1000]
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *frequent])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


def trainer(out, seed=0):
    """Return a Trainer with everything in it made anew."""
    set_seed(seed)
    texts, labels = docstrings()
    tokenizer = tokenizer_of(texts)
    rows = [
        {**tokenizer(text, truncation=True, max_length=40), "labels": label}
        for text, label in zip(texts, labels, strict=True)
    ]
    order = (tw.Key(0) / "split").permutation(len(rows))
    test, train = [rows[i] for i in order[:100]], [rows[i] for i in order[100:]]
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=40, num_labels=len(PACKAGES),
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    optimizer = tw.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = tw.schedule.warmup(0.1) >> tw.schedule.cosine()
    arguments = TrainingArguments(
        output_dir=str(out), max_steps=STEPS, per_device_train_batch_size=32, per_device_eval_batch_size=100,
        save_steps=HALF, save_strategy="steps", logging_strategy="no", report_to="none", disable_tqdm=True,
        use_cpu=True, seed=0,
    )  # fmt: skip
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=test,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda seen: {"accuracy": float((seen.predictions.argmax(1) == seen.label_ids).mean())},
        optimizers=(optimizer, tw.schedule.Scheduler(optimizer, schedule, total=STEPS)),
    )


def main(out="."):
    out = Path(out) / "with_transformers"
    whole = trainer(out)
    whole.train()
    accuracy = whole.evaluate()["eval_accuracy"]

    resumed = trainer(out, seed=1)  # other initial weights: all comes from the checkpoint
    resumed.train(resume_from_checkpoint=str(out / f"checkpoint-{HALF}"))

    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in pairs)
    rate = resumed.optimizer.param_groups[0]["lr"]
    print(f"test accuracy {accuracy:.3f}; largest difference of a weight after stopping and resuming: {difference}")
    return {"accuracy": accuracy, "difference": difference, "rate": rate, "optimizer": resumed.optimizer}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the checkpoints")
    main(parser.parse_args().out)
