# Needs make and Python 3.11, 3.12 or 3.13; everything else is put into .venv by `make install`.
# Another interpreter: make install PYTHON=/path/to/python

CANDIDATES = python3.11 python3.12 python3.13 python3 python
FITS       = import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
VENV       = .venv
BIN        = $(VENV)/bin
BACKENDS   = .venv-backends
WORKERS    = 2
NEUTRAL    = $(patsubst %,tests/finetune/test_finetune_%.py,course training networks)

.PHONY: help install demo test test-backends test-finetune-backends check-architectures check-full check-registry lint format bench fuzz clean
.DEFAULT_GOAL = help

help:
	@echo 'make install        everything for development, in $(VENV) (once; takes minutes)'
	@echo 'make demo           name what is on photographs, then fine-tune on digits; results in zoo-demo/'
	@echo 'make test           the tests'
	@echo 'make test-backends  an exported model on the torch and JAX backends, in $(BACKENDS) without zoo'
	@echo 'make test-finetune-backends  fine-tuning on the torch and JAX backends, in $(BACKENDS)'
	@echo 'make check-architectures  the numbers of every network in every dialect, against its publisher'
	@echo 'make check-full     the same, and every model of the registry that can be had, fetched anew and measured'
	@echo 'make check-registry  every card of the registry, against its network and the others (`zoo check`)'
	@echo 'make lint           format, ruff and mypy, changing nothing'
	@echo 'make format         ruff, changing files'
	@echo 'make bench          every measure beside other tools, into tests/benchmarks/results (BENCH="--only ROW" for some)'
	@echo 'make fuzz           damaged files for every reader, ten minutes of them'
	@echo 'make clean          remove what the other targets made; the cache of models stays'

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@python=; for candidate in $(PYTHON) $(if $(PYTHON),,$(CANDIDATES)); do \
	  if "$$candidate" -c '$(FITS)' >/dev/null 2>&1; then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo 'make: zoo needs Python 3.11, 3.12 or 3.13 with venv (on Debian: apt install python3-venv);' \
	       'none of these is one: $(if $(PYTHON),$(PYTHON),$(CANDIDATES))' >&2; exit 1; fi; \
	echo "installing into $(VENV) with $$($$python --version), about 2 GB"; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: install
	$(BIN)/zoo demo

test: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# Neither zoo nor TensorFlow: Keras and the two other backends, which is what a person has who was given a .keras file,
# and what the tests of fine-tuning import besides. pip's own settings decide between the CPU and the CUDA build of torch;
# either will do.
$(BACKENDS)/.installed: Makefile pyproject.toml
	[ -x $(BACKENDS)/bin/python ] || $(BIN)/python -m venv $(BACKENDS)
	$(BIN)/python -c 'import tomllib; found = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]; \
	  print(*(line for line in found if not line.startswith("tensorflow")), sep="\n")' > $(BACKENDS)/requirements.txt
	$(BACKENDS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(BACKENDS)/requirements.txt \
	  'keras==3.15.1' 'torch==2.13.0' 'jax>=0.4.34' 'pytest>=8.3' 'pytest-xdist>=3.6'
	@touch $@

test-backends: install $(BACKENDS)/.installed
	$(BIN)/python tests/backends/check_export.py $(BACKENDS)/bin/python
	$(BIN)/python tests/backends/check_build.py $(BACKENDS)/bin/python

test-finetune-backends: install $(BACKENDS)/.installed
	for backend in torch jax; do echo "fine-tuning on $$backend"; \
	  KERAS_BACKEND=$$backend $(BACKENDS)/bin/python -m pytest -n $(WORKERS) --dist worksteal -m 'not weights' $(NEUTRAL) \
	  || exit 1; done

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The packages it compares with are put into $(VENV)-bench, about 6 GB, by the harness itself.
bench: install
	$(BIN)/python tests/benchmarks/run.py $(BENCH)

check-architectures: install
	$(BIN)/python -m pytest -n $(WORKERS) tests/architectures/test_published.py --all-architectures

check-full: install check-architectures
	$(BIN)/python tests/full/check.py
	$(BIN)/python tests/full/trunks.py

check-registry: install
	$(BIN)/zoo check

fuzz: install
	nice $(BIN)/python tests/fuzz/run.py --minutes 10

clean:
	rm -rf $(VENV) $(BACKENDS) $(VENV)-bench zoo-demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find zoo tests -name __pycache__ -type d -prune -exec rm -rf {} +
