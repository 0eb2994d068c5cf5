# make run    install into .venv (once), then the first experiment; more words in ARGS="…"
# make docs   the handbook as a site, in build/docs
# make test   install with the tests' needs (once), then lint, types and the tests
PYTHON ?= python3
BIN := .venv/bin
# --no-compile: of twenty thousand files a few thousand are imported; Python compiles these, once.
# With uv, a few times faster: make INSTALL="uv pip install --python .venv"
INSTALL ?= $(BIN)/python -m pip install --no-compile

.PHONY: run test docs docs-links test-slow test-gpu test-slurm test-containers reliability ruff lint audit clean

run: .venv/run.stamp
	$(BIN)/python -m cnnexp $(ARGS)

# Two workers of one thread each: workers that both want all cores wait for each other. The files as
# they come: else the few long tests of the smallest files are left for the end, and for one worker.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The types are one of the tests: mypy has one thread.
test: ruff
	$(PYTEST) $(ARGS)

# A warning fails it; the notebooks are executed: about two minutes.
docs: .venv/dev.stamp
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs $(ARGS)
	@echo "build/docs/index.html  (open it in a browser)"

# Links to other sites, too; wants a network.
docs-links: .venv/dev.stamp
	$(BIN)/sphinx-build --builder linkcheck -D nb_execution_mode=off docs build/links

test-slow: .venv/dev.stamp
	$(PYTEST) -m slow $(ARGS)

test-gpu: .venv/dev.stamp
	$(PYTEST) tests/test_on_gpu.py $(ARGS)

# On a SLURM of its own, on this machine; as root.
test-slurm: .venv/dev.stamp
	scripts/slurm_cluster.sh up
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slurm tests/slurm $(ARGS); \
	code=$$?; scripts/slurm_cluster.sh down; exit $$code

# Builds and runs both images, with docker or podman, and apptainer, where they are: minutes.
# On CPU wheels; CNNEXP_VARIANT=cuda: with CUDA.
test-containers: .venv/dev.stamp
	$(BIN)/python -m pytest -m containers tests/containers $(ARGS)

# What docs/reliability.md promises, tried; its figures. As root, about an hour. The slow ones one
# after the other: some start sixteen processes.
PROMISED = $$(grep -o 'tests/[a-z_/.]*' docs/reliability.md | sort -u)
reliability: .venv/dev.stamp
	CNNEXP_FUZZ=$${CNNEXP_FUZZ:-60} $(PYTEST) --junitxml=build/reliability.xml $(PROMISED)
	$(PYTEST) --numprocesses 0 -m 'slow and not slurm and not containers' \
	  --junitxml=build/slow.xml $(PROMISED)
	$(MAKE) test-slurm ARGS=--junitxml=build/slurm.xml
	$(BIN)/python scripts/reliability_figures.py build/reliability.xml build/slow.xml build/slurm.xml

ruff: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint: ruff
	$(BIN)/mypy

# Known holes in what is installed, as PyPI lists them; wants a network.
audit: .venv/dev.stamp
	$(BIN)/pip-audit --local --skip-editable --progress-spinner off

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml | .venv/bin/python
	@echo "installing into .venv: about two minutes; 7 GB with the CUDA libraries that PyTorch brings"
	$(INSTALL) --quiet --editable .
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(INSTALL) --quiet --editable '.[dev]'
	@touch $@ .venv/run.stamp

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
