# The Python used: an environment that is active and still there, else a Python that has Paddle already (AI Studio),
# else .venv, which is made here. A Paddle that is there stays: a CPU build installed over it would cost the user the
# GPU. What is asked says 1 at its end: a library of $LD_PRELOAD that is not there, or a sitecustomize.py, speaks before.

BASE_PYTHON ?= python3
ifdef VIRTUAL_ENV
ACTIVE := $(shell test -x "$(VIRTUAL_ENV)/bin/python" && echo 1)
endif
ifeq ($(ACTIVE),1)
PYTHON := $(VIRTUAL_ENV)/bin/python
else ifeq ($(lastword $(shell "$(BASE_PYTHON)" -c 'from importlib.util import find_spec as f; print(f("paddle").origin and 1)' 2>&1)),1)
PYTHON := $(BASE_PYTHON)
else
PYTHON := .venv/bin/python
MADE := $(PYTHON)
endif

# What generates best of all that was tried, and within minutes (docs/search.md): the course's settings and these flags.
DCGAN_FLAGS := --penalty 1 --learning-rate 0.0005
LSGAN_FLAGS := --penalty 10 --learning-rate 0.001
BEST_DCGAN := $(DCGAN_FLAGS) --epochs 6
BEST_LSGAN := $(LSGAN_FLAGS) --epochs 8

.PHONY: help train compare test board best play notebooks results clean setup setup-test docs-check

# The length of a first training; ARGS takes its place, but for --resume, which goes on with it.
flags = $(if $(filter-out --resume,$(ARGS)),,$(1)) $(ARGS)
own_folders = $(if $(findstring --output-dir,$(ARGS)),$(error make $@: a folder for each, in work/$@; leave --output-dir out))
quoted = '$(subst ','\'',$(strip $(1)))'
train compare: export GAN_RESUME = make $@ ARGS=$(call quoted,$(filter-out --resume,$(ARGS)) --resume)
best: export GAN_RESUME = make best$(if $(ARGS), ARGS=$(call quoted,$(ARGS)))

help: ## this list
	@echo "make TARGET [ARGS='flags for the command'] [BASE_PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' Makefile
	@echo "Stopped by Ctrl-C? make train ARGS=--resume goes on."

train: setup ## set up, then a first DCGAN training of 3 to 6 minutes: MNIST where it is in reach, else digits
	@echo "settings $(DCGAN_FLAGS) (docs/search.md); the course's: python dcgan/train.py --dataset auto --max-steps 1500"
	"$(PYTHON)" dcgan/train.py --dataset auto $(DCGAN_FLAGS) $(call flags,--max-steps 1500 --eval-every 5)

compare: setup ## train both families shortly and draw them side by side in work/compare.png
	$(own_folders)
	@echo "settings DCGAN $(DCGAN_FLAGS), LSGAN $(LSGAN_FLAGS) (docs/search.md); the course's: the commands without these"
	"$(PYTHON)" dcgan/train.py --dataset auto --output-dir work/compare/dcgan $(DCGAN_FLAGS) $(call flags,--max-steps 1000)
	"$(PYTHON)" lsgan/train.py --dataset auto --output-dir work/compare/lsgan $(LSGAN_FLAGS) $(call flags,--max-steps 1000)
	"$(PYTHON)" -m commands.compare work/compare/dcgan work/compare/lsgan --out work/compare.png

best: setup ## both by the recipe of our weights: MNIST, 50 to 70 minutes on one core (EPYC); goes on if stopped
	$(own_folders)
	"$(PYTHON)" dcgan/train.py $(BEST_DCGAN) --output-dir work/best/dcgan --resume $(ARGS)
	"$(PYTHON)" lsgan/train.py $(BEST_LSGAN) --output-dir work/best/lsgan --resume $(ARGS)

test: setup-test ## set up, then ruff and the tests
	"$(PYTHON)" -m ruff check .
	"$(PYTHON)" -m pytest $(ARGS)

docs-check: setup-test ## run every notebook, look at pages in Chromium, run every command of every page; trainings cut short
	"$(PYTHON)" -m pytest -q -m pages -n 2
	"$(PYTHON)" -m tests.docs_check

board: setup ## VisualDL on the runs in work/, reachable from this machine only, telemetry off
	"$(PYTHON)" -m commands.board $(ARGS)

play: setup ## a page to play with the runs in work/ and the pretrained weights, reachable from this machine only
	@"$(PYTHON)" commands/install.py requirements-play.txt
	"$(PYTHON)" -m commands.play $(ARGS)

notebooks: setup ## JupyterLab on the notebooks
	@"$(PYTHON)" commands/install.py notebooks/requirements.txt
	"$(PYTHON)" -m jupyterlab notebooks $(ARGS)

results: setup ## many hours: every family on MNIST, some with three seeds, and docs/results.md; goes on if stopped
	"$(PYTHON)" -m commands.results $(ARGS)

clean: ## remove .venv and caches; work/ with what was trained stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

setup: $(MADE)
	@"$(PYTHON)" commands/install.py

setup-test: setup
	@"$(PYTHON)" commands/install.py tests/requirements.txt

# An environment whose making fails, as Debian's does where python3-venv is not there, is made anew the next time.
.DELETE_ON_ERROR:

.venv/bin/python:
	@"$(BASE_PYTHON)" commands/install.py --check
	"$(BASE_PYTHON)" -m venv --clear .venv
