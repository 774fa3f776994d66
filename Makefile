# Everything a person or CI runs. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format bench bench-cuts bench-rolling bench-sequences bench-calibration bench-onboarding bench-evaluation bench-training bench-large bench-cold bench-filters bench-upsert bench-index bench-experiments bench-serving test-faults protos lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## ?/\1\t/' | expand -t 14

install: $(STAMP)  ## create .venv and install the locked packages

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 10) <= v[:2] <= (3, 13) else f"Python {v[0]}.{v[1]} found, 3.10 to 3.13 expected: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q configs towers serving pipelines twinspire.py
	@touch $(STAMP)

demo: install  ## run the whole pipeline on simulated data and print recommendations
	$(BIN)/twinspire demo

test: install  ## run the tests, two at a time (JOBS=n); ARGS="-m 'not slow'" for the quick ones
	$(BIN)/python -m pytest -n $(or $(JOBS),2) --no-loadscope-reorder $(ARGS)

lint: install  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## run the short benchmarks; results in runs/bench/
	$(BIN)/python -m tests.bench.stages

bench-cuts: install  ## towers against baselines on MovieLens 1M at three cuts (an hour); DATA=folder of ml-1m SEEDS=3 FIRST=0 CUTS=".90 .85"
	$(BIN)/python -m tests.bench.cuts $(or $(DATA),data/ml-1m) --seeds $(or $(SEEDS),1) --first $(or $(FIRST),0) --cuts $(or $(CUTS),.90 .85 .80)

bench-rolling: install  ## towers against popularity on MovieLens 1M, day by day at each event; DATA=folder of ml-1m
	$(BIN)/python -m tests.bench.rolling $(or $(DATA),data/ml-1m)

bench-sequences: install  ## leave-last-out HR and NDCG on the MovieLens 1M sequence file (an hour a seed); DATA=folder of it SEEDS=3 FIRST=0
	$(BIN)/python -m tests.bench.sequences $(or $(DATA),data/ml-1m-sequences) --seeds $(or $(SEEDS),1) --first $(or $(FIRST),0)

bench-calibration: install  ## plain transformers on that file under the losses of gSASRec and SASRec+, against their published figures (two hours); PEERS="gSASRec"
	$(BIN)/python -m tests.bench.calibration $(or $(DATA),data/ml-1m-sequences) --peers $(or $(PEERS),gSASRec SASRec+)

bench-onboarding: install  ## newcomers of the demo who choose a category or an item, and short histories (10 minutes); ARGS=seed=8
	$(BIN)/python -m tests.bench.onboarding $(ARGS)

bench-cold: install  ## items that nobody has taken yet, a tenth of the demo's held out (10 minutes); SEEDS=3 ARGS="--undated trend.undated=new"
	$(BIN)/python -m tests.bench.cold --seeds $(or $(SEEDS),1) $(ARGS)

bench-training: install  ## how fast towers train, against the TFRS tutorial on MovieLens 1M (20 minutes); DATA=folder of ml-1m
	$(BIN)/python -m tests.bench.training $(or $(DATA),data/ml-1m)

bench-large: install  ## how fast towers train on a million items, and in how much memory (10 minutes)
	$(BIN)/python -m tests.bench.large $(ARGS)

bench-evaluation: install  ## exact ranking of a whole catalogue against FactorizedTopK (6 minutes)
	$(BIN)/python -m tests.bench.evaluation

bench-filters: install  ## search under filters that leave little, against brute force (5 minutes)
	$(BIN)/python -m tests.bench.filters

bench-upsert: install  ## a thousand new items into a published bundle of a million (4 minutes)
	$(BIN)/python -m tests.bench.upsert

bench-index: install  ## the index against ScaNN's binding and FAISS, in the graph, and by size to ten million (35 minutes); ARGS="--parts graph"
	$(BIN)/python -m tests.bench.index $(ARGS)

bench-experiments: install  ## what intervals of A/B tests and off-policy estimates hold, in 2,000 simulated tests (4 minutes)
	$(BIN)/python -m tests.bench.experiments $(ARGS)

bench-serving: install  ## lists over HTTP from a bundle of a million items, beside the session alone and two peers (10 minutes); ARGS="--items 100000 --folder DIR"
	$(BIN)/python -m tests.bench.serving $(ARGS)

test-faults: install  ## a server under what may go wrong: swaps, kills, damage, odd requests, overload, outages (half an hour); ARGS="--only kills fuzz"
	$(BIN)/python -m tests.faults $(ARGS)

protos: install  ## compile the messages of the gRPC interface anew, from serving/tfserving/protos/*.proto
	$(BIN)/python -m grpc_tools.protoc -I serving/tfserving/protos --include_imports --descriptor_set_out=serving/tfserving/protos/protos.binpb serving/tfserving/protos/*.proto

lock:  ## recompute requirements.lock from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements.lock

clean:  ## remove the environment and caches (runs are kept)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info
