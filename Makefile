# make run    all studies at their default scale: one to one and a half hours on 2 cores
# make test   the tests
# make help   everything else

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run smoke gemma3 unused test test-all test-slurm test-serve faults check format dvc ui screenshots verify report provenance lock

PYTHON ?= python3.11
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
PORT ?= 5000

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | column -t -s $$'\t'

run: $(VENV)/installed ## run all studies and show the results; ARGS go to Snakemake, such as ARGS="-n puzzle"
	tessera run $(ARGS)

smoke: $(VENV)/installed ## run the whole workflow on a small scale in build/smoke
	tessera smoke

test: $(VENV)/installed ## run the tests, except slow ones
	OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile $(ARGS)

test-all: $(VENV)/installed ## run all tests, except those of SLURM
	OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile -m "not slurm and not serve" $(ARGS)

test-slurm: $(VENV)/installed ## run the workflow through a one-node SLURM; needs root and Debian's slurm-wlm and munge
	pip install -q --no-deps -r profiles/slurm/requirements.txt
	OMP_NUM_THREADS=1 pytest -q -m slurm tests/workflow/test_slurm.py $(ARGS)

test-serve: $(VENV)/installed build/vllm/installed build/mlx/installed ## serve children by vLLM and MLX on this CPU, in environments of their own (5 GiB)
	OMP_NUM_THREADS=1 pytest -q -m serve $(ARGS)

faults: $(VENV)/installed ## kill runs, fill disks, damage files, and write the outcome to reports/tables/faults.md
	TESSERA_FAULTS=reports/tables/faults.md OMP_NUM_THREADS=1 pytest -q -m "not slurm" tests/workflow/test_faults.py tests/workflow/test_damage.py $(ARGS)

check: $(VENV)/installed ## formatting, lint, unused code and types
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile src
	python -m tessera.workflow.lint
	tessera params check
	tessera params check params/smoke.yaml
	tessera params check params/gemma3.yaml
	vulture
	mypy

gemma3: $(VENV)/installed ## run Puzzle and its validity study on another parent, Gemma 3 270M; the results go to reports/gemma3
	mkdir -p build/gemma3
	snakemake --directory build/gemma3 --cores all --configfile $(CURDIR)/params.yaml $(CURDIR)/params/gemma3.yaml $(ARGS) -- puzzle puzzle_validity
	mkdir -p reports/gemma3
	cd build/gemma3/reports && cp --parents metrics/puzzle{,_validity}.json tables/puzzle{,_validity}/results.md figures/puzzle/frontier.svg $(CURDIR)/reports/gemma3

unused: $(VENV)/installed ## list functions, attributes and fields that appear to be unused
	vulture --min-confidence 60

format: $(VENV)/installed ## format Python and Snakemake files
	ruff check --fix .
	ruff format .
	snakefmt Snakefile src

dvc: $(VENV)/installed ## update dvc.yaml from Snakemake's rules
	tessera dvc

ui: $(VENV)/installed ## fill MLflow from the run files and serve it on 127.0.0.1
	-tessera track --port $(PORT)
	mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

screenshots: $(VENV)/installed ## open MLflow's pages and the report in Chromium and save screenshots in reports/screenshots
	SCREENSHOTS=reports/screenshots pytest -q -m slow tests/workflow/test_views.py tests/workflow/test_report_page.py

verify: $(VENV)/installed ## check every claim in reports/claims.yaml against the results
	tessera verify

report: $(VENV)/installed ## write reports/report.html: all figures, tables, claims, code and provenance on one page
	snakemake shown
	snakemake --report reports/report.html shown

provenance: $(VENV)/installed ## write ro-crate-metadata.json: steps, inputs, hardware and licences of the results
	snakemake provenance

lock: ## regenerate requirements.lock from pyproject.toml
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q ".[dev]"
	build/lock/bin/pip freeze --exclude tessera | sed 's/+cpu$$//' > requirements.lock

# Its torch has no use for the media packages, which do not import beside it.
build/vllm/installed: plugins/vllm/requirements.txt plugins/vllm/pyproject.toml
	$(PYTHON) -m venv --clear build/vllm
	build/vllm/bin/pip install -q -r plugins/vllm/requirements.txt
	build/vllm/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	build/vllm/bin/pip install -q --no-deps --editable plugins/vllm
	touch $@

build/mlx/installed:
	$(PYTHON) -m venv --clear build/mlx
	build/mlx/bin/pip install -q "mlx[cpu]==0.32.4" mlx-lm==0.32.2
	touch $@

$(VENV)/installed: requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	pip install -q -r requirements.lock
	pip install -q --no-deps --editable .
	touch $@
