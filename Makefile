# Two commands do all set-up: `make demo` and `make test`. Both need Python 3.11 or newer, and nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-interop test-ray check bench docs docs-serve clean

demo: .venv/installed
	$(BIN)/thalweg compare digits --epochs 30 --trials 8 --seeds 10 --out demo \
		--vary optimizer=sgd,momentum,nesterov,adagrad,adadelta,rmsprop,adam_uncorrected,adam,adam_l2,amsgrad,yogi,adamw,nadam

test: .venv/installed-dev check
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

# Our optimizers and augmentation in Lightning, accelerate, transformers and datasets, in an environment of their own.
test-interop: .venv-interop/installed
	.venv-interop/bin/python -m pytest -W default tests/interop

# Studies on a cluster of two nodes inside this machine, in an environment that has Ray.
test-ray: .venv-ray/installed
	.venv-ray/bin/python -m pytest -W default tests/ray

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed-dev .venv-peers/installed
	$(BIN)/python bench

# The documentation's site, in build/docs/site: pages from the catalogue, then mkdocs in an environment of its own.
docs: .venv/installed-dev .venv-docs/installed
	$(BIN)/python docs/generate.py build/docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet -f build/docs/mkdocs.yml

docs-serve: docs
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory build/docs/site 8000

.venv/python:
	$(PYTHON) -c 'import sys; sys.exit("thalweg needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	touch $@

# The marker files are newer than what they were made from, so that nothing is installed twice.
.venv/installed: .venv/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv-interop/installed: .venv/python pyproject.toml constraints-interop.txt
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-interop.txt -e '.[image]' \
		pytest lightning accelerate transformers datasets
	touch $@

.venv-ray/installed: .venv/python pyproject.toml constraints-ray.txt
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-ray.txt -e '.[ray]' pytest
	touch $@

.venv-docs/installed: .venv/python constraints-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-docs.txt mkdocs-material
	touch $@

# What benchmarks stand us beside.
.venv-peers/installed: .venv/python pyproject.toml constraints-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-peers.txt torch
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-peers.txt -e . \
		pytorch_optimizer deepspeed ninja optuna 'ray[tune]' nlpaug nltk gensim transformers lemminflect \
		albumentations==2.0.8 kornia 'opencv-python-headless>=5'
	touch $@

clean:
	rm -rf .venv .venv-docs .venv-interop .venv-ray .venv-peers demo build
