# Every target makes .venv itself; Python 3.11 or later, make and a package registry are all it takes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "token-exchange-sidecar needs Python 3.11 or later; call make PYTHON=python3.12, for example")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run tests/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.lock
	@touch $@

.PHONY: demo
demo: $(VENV)/.run  ## tell the whole story on loopback and stay up; ARGS=--once ends by itself
	$(BIN)/sidecar demo $(ARGS)

$(VENV)/.agents: $(VENV)/.run tests/requirements-agents.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements-agents.lock
	@touch $@

.PHONY: demo-agents
demo-agents: $(VENV)/.agents  ## how far agents get with what a person allowed; ARGS=--once ends by itself
	$(BIN)/sidecar demo --agents $(ARGS)

.PHONY: test
test: $(VENV)/.dev  ## run the tests; ARGS are pytest's
	$(BIN)/python -m pytest $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## judge what reads bytes of strangers with very many generated inputs; ARGS are pytest's
	$(BIN)/python -m pytest -m fuzz --hypothesis-profile fuzz $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev  ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/.dev  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/.dev  ## write the pages that are made from the code anew
	$(BIN)/python -m tests.docs.generate

.PHONY: pictures
pictures: $(VENV)/.dev  ## take the pictures of the status page in docs/images anew; needs Chromium, and pngquant for small ones
	$(BIN)/python -m tests.interop.pictures
	@if command -v pngquant >/dev/null; then pngquant --force --strip --ext .png 64 docs/images/status-*.png; fi

.PHONY: bench
bench: $(VENV)/.dev  ## measure beside Envoy, nginx and an aiohttp relay; ARGS=--quick for a short run
	$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: reliability
reliability: $(VENV)/.dev  ## hold every promise of docs/reliability.md in full, and write its figures; takes an hour
	RELIABILITY=long $(BIN)/python -m pytest -m reliability -rA tests/reliability tests/attacks
	$(BIN)/python -m tests.docs.generate

.PHONY: soak
soak: $(VENV)/.dev  ## chaos for as long as ARGS says, in seconds, 1800 by default; SEED=… repeats a run
	RELIABILITY=long SOAK=$(or $(ARGS),1800) $(BIN)/python -m pytest -m reliability -s tests/reliability/test_chaos.py
	$(BIN)/python -m tests.docs.generate

# What was released is described from an environment that holds nothing else.
.PHONY: dist
dist: $(VENV)/.dev  ## build wheel, source archive and bill of materials (CycloneDX) into dist/, and look for known flaws
	rm -rf dist .cache/release
	$(PYTHON) -m venv .cache/release/tools
	.cache/release/tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements-release.lock
	$(PYTHON) -m venv --without-pip .cache/release/installed
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m pip --python .cache/release/installed/bin/python install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip --python .cache/release/installed/bin/python install --quiet --disable-pip-version-check --no-deps dist/*.whl
	sed "s/^dynamic = .*/version = \"$$($(BIN)/python -m hatchling version)\"/" pyproject.toml >.cache/release/pyproject.toml
	.cache/release/tools/bin/cyclonedx-py environment --pyproject .cache/release/pyproject.toml --output-reproducible --of JSON -o dist/sbom.cdx.json .cache/release/installed
	.cache/release/tools/bin/pip-audit --disable-pip --require-hashes -r requirements.lock

.PHONY: lock
lock: $(VENV)/.dev  ## resolve the lock files anew
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group build -o tests/requirements-build.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group release -o tests/requirements-release.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group dev -c requirements.lock -o tests/requirements.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group agents -c requirements.lock -c tests/requirements.lock -o tests/requirements-agents.lock

.PHONY: clean
clean:  ## remove .venv and everything that was built
	rm -rf $(VENV) .cache dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
