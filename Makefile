# Everything a person types here. The scripts make their own virtual environment in .venv.
# `make` alone lists the targets.

.DEFAULT_GOAL := help
.SUFFIXES:

BIN := .venv/bin
PY := $(BIN)/python
MANAGE := DJANGO_SETTINGS_MODULE=demo.core.settings $(PY) manage.py
# Checks and demo tests ask no database file for anything.
MEMORY := DATABASE_URL=sqlite://:memory:
TEMPLATES := find src demo tests -name '*.html' -path '*/templates/*'
APPS_WITH_TEXTS := src/backsoon demo/panel
SERVED := tests/servers tests/faults

# Hundreds of interpreters start here, and each would compile Django anew where the machine says, as
# many containers do, that nothing compiled is kept. It is: in one place, out of everybody's way.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/var/pycache

.PHONY: help demo demo-asgi demo-worker test test-fast matrix coverage check format messages docs bench screenshots clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Set the demo site up and serve it with gunicorn (PORT=8000)
	@scripts/demo.sh wsgi

demo-asgi: ## The same with uvicorn
	@scripts/demo.sh asgi

demo-worker: ## Deliver the demo's orders in the background; needs REDIS_URL, as the demo then does
	@scripts/bootstrap.sh demo
	@test -n "$(REDIS_URL)$(DEMO_BROKER_URL)" || { echo "Say where the broker is: REDIS_URL=redis://127.0.0.1:6379/0 make demo-worker" >&2; exit 2; }
	@exec $(BIN)/celery --app demo.core.celery worker --concurrency 2 --loglevel info

test: ## The whole suite: also on the newest Python and Django, servers, browser
	@scripts/bootstrap.sh test
	@scripts/install_packages.sh chromium gettext postgresql redis nginx faketime iproute2
	$(BIN)/nox --tags farthest
	$(MEMORY) $(MANAGE) test demo
	$(PY) -m pytest --numprocesses auto -m "not browser and not servers"
	@# Each process has servers of its own, and a browser.
	$(PY) -m pytest --numprocesses auto --dist loadfile -m "not timed" $(SERVED)
	$(PY) -m pytest --numprocesses auto tests/browser
	@# One after the other: they measure time.
	$(PY) -m pytest -m timed $(SERVED)

test-fast: ## The part without servers, browser and exhaustive lists of cases
	@scripts/bootstrap.sh test
	$(MEMORY) $(MANAGE) test demo
	$(PY) -m pytest --numprocesses auto -m "not browser and not servers and not exhaustive"

matrix: ## The fast suite against the built wheel on each installed Python and Django
	@scripts/bootstrap.sh test
	$(BIN)/nox --session matrix

coverage: ## The fast suite with a report of lines and branches it does not reach
	@scripts/bootstrap.sh test
	@mkdir -p var/coverage && rm -f var/coverage/data*
	$(BIN)/coverage run -m pytest -m "not browser and not servers and not exhaustive"
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: ## Format, lint, types, layers, migrations, translations, docs
	@scripts/bootstrap.sh dev
	@scripts/install_packages.sh gettext
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(TEMPLATES) -exec $(BIN)/djade --check --target-version 5.2 {} +
	$(MEMORY) $(MANAGE) check --fail-level WARNING
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(MEMORY) $(MANAGE) makemigrations --check --dry-run
	$(PY) scripts/check_translations.py $(APPS_WITH_TEXTS)
	$(BIN)/sphinx-build -n -W --keep-going -q -b html docs var/docs

format: ## Put code and templates into the project's form
	@scripts/bootstrap.sh dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	@# djade's exit code says whether it changed anything; whether all is well, 'make check' says.
	$(TEMPLATES) -exec $(BIN)/djade --target-version 5.2 {} + || true

messages: ## Gather the translatable texts into the .po files and compile them
	@scripts/bootstrap.sh dev
	@scripts/install_packages.sh gettext
	$(PY) scripts/check_translations.py --write $(APPS_WITH_TEXTS)

docs: ## Build the documentation into var/docs
	@scripts/bootstrap.sh docs
	$(BIN)/sphinx-build -n -W --keep-going -q -b html docs var/docs
	@echo "Open var/docs/index.html"

bench: ## Measure what it costs, side by side with others, and write it into the docs (15 minutes)
	@scripts/bootstrap.sh bench
	@scripts/install_packages.sh postgresql redis nginx wrk
	$(PY) -m benchmarks --docs

screenshots: ## Take the pictures of the docs again, from a demo that runs (PORT=8000)
	@scripts/bootstrap.sh test
	$(PY) scripts/screenshots.py http://127.0.0.1:$${PORT:-8000}/

clean: ## Remove the environment, the demo's database and everything else that was made
	rm -rf .venv var .nox build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
