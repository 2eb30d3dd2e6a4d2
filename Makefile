# The Python used: an environment that is active, else a Python that has Paddle already (AI Studio), else .venv, which
# is made here. A Paddle that is there stays: a CPU build installed over it would cost the user the GPU.

BASE_PYTHON ?= python3
ifdef VIRTUAL_ENV
PYTHON := $(VIRTUAL_ENV)/bin/python
else ifeq ($(shell $(BASE_PYTHON) -W ignore -c 'import paddle' 2>/dev/null && echo yes),yes)
PYTHON := $(shell command -v $(BASE_PYTHON))
else
PYTHON := .venv/bin/python
endif

# What draws best of all that was tried (docs/search.md): the course's recipe and these flags.
BEST_DCGAN := --penalty 1 --learning-rate 0.0005 --epochs 6
BEST_LSGAN := --penalty 10 --learning-rate 0.001 --epochs 8

.PHONY: help train compare test board best play notebooks results clean setup setup-test docs-check

help: ## this list
	@echo "make TARGET [ARGS='flags for the command'] [BASE_PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' Makefile

train: ARGS ?= --max-steps 1500 --eval-every 5
train: setup ## set up, then a first DCGAN training of under 10 minutes: MNIST where it is in reach, else digits
	$(PYTHON) dcgan/train.py --dataset auto $(ARGS)

compare: ARGS ?= --max-steps 600
compare: setup ## train both families shortly and draw them side by side in work/compare.png
	$(PYTHON) dcgan/train.py --dataset auto --output-dir work/compare/dcgan $(ARGS)
	$(PYTHON) lsgan/train.py --dataset auto --output-dir work/compare/lsgan $(ARGS)
	$(PYTHON) -m commands.compare work/compare/dcgan work/compare/lsgan --out work/compare.png

best: setup ## both by the recipe of our weights: MNIST, some 50 minutes on one core; goes on if stopped
	$(PYTHON) dcgan/train.py $(BEST_DCGAN) --output-dir work/best/dcgan --resume $(ARGS)
	$(PYTHON) lsgan/train.py $(BEST_LSGAN) --output-dir work/best/lsgan --resume $(ARGS)

test: setup-test ## set up, then ruff and the tests
	$(PYTHON) -m ruff check .
	$(PYTHON) -m pytest $(ARGS)

docs-check: setup ## run every command of every page in a copy of the repository, trainings cut short
	$(PYTHON) -m tests.docs_check

board: setup ## VisualDL on the runs in work/, reachable from this machine only, telemetry off
	$(PYTHON) -m commands.board $(ARGS)

play: setup ## a page to play with the runs in work/ and the pretrained weights, reachable from this machine only
	@$(PYTHON) -m pip install -q -r requirements-play.txt
	$(PYTHON) -m commands.play $(ARGS)

notebooks: setup ## JupyterLab on the notebooks
	@$(PYTHON) -m pip install -q -r notebooks/requirements.txt
	$(PYTHON) -m jupyterlab notebooks $(ARGS)

results: setup ## many hours: every family on MNIST, some with three seeds, and docs/results.md; goes on if stopped
	$(PYTHON) -m commands.results $(ARGS)

clean: ## remove .venv and caches; work/ with what was trained stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

setup: $(PYTHON)
	@$(install)

setup-test: setup
	@$(PYTHON) -m pip install -q -r tests/requirements.txt

.venv/bin/python:
	@$(BASE_PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 9) <= v[:2] <= (3, 13) else \
		f"error: Paddle has no build for Python {v[0]}.{v[1]}; name one from 3.9 to 3.13: make BASE_PYTHON=python3.12")'
	$(BASE_PYTHON) -m venv .venv

# pip asks no network where all is there already. Without Paddle, the list for this machine; with one, the rest of the
# list that fits it: requirements.txt keeps NumPy 1, which Paddle 2 needs.
define install
case "$$($(PYTHON) -W ignore -c 'import paddle; print(paddle.__version__)' 2>/dev/null)" in \
"") if nvidia-smi >/dev/null 2>&1; then list=requirements.txt; else list=requirements-cpu.txt; fi; \
	echo "installing $$list into $$(dirname $(PYTHON))"; \
	$(PYTHON) -m pip install -q -r $$list ;; \
2.*) grep -v '^paddlepaddle' requirements.txt | $(PYTHON) -m pip install -q -r /dev/stdin ;; \
*) grep -v '^paddlepaddle' requirements-cpu.txt | $(PYTHON) -m pip install -q -r /dev/stdin ;; \
esac
endef
