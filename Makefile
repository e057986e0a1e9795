# Every target is one line; the work is in `cargo xtask` (xtask/src), which says what it does as it goes.
.DEFAULT_GOAL := help
# The whole workspace at once: building one package alone would build its dependencies again with fewer features.
XTASK := cargo build --workspace --bins && $${CARGO_TARGET_DIR:-target}/debug/xtask
.PHONY: help demo test check fmt lint deny unit gen gen-check cluster-up cluster-down cluster-status image trial bench

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
demo: ## a cluster, the controllers and three game servers, with timings
	$(XTASK) demo
test: ## everything CI needs: format, lints, generated files, unit, API server, simulated and real nodes
	$(XTASK) test
check: fmt lint gen-check ## what to run before a commit (no cluster)
fmt: ## formatting, as CI checks it
	cargo fmt --all --check
lint: ## clippy with warnings as errors
	cargo clippy --workspace --all-targets -- -D warnings
deny: ## banned crates, licences and sources
	$(XTASK) test --only deny
unit: ## unit and property tests, no cluster
	$(XTASK) test --only unit
gen: ## regenerate crds/, e2e/rbac/, docs/metrics.md, docs/events.md, docs/rights.md, deploy/, the chart's generated files
	$(XTASK) gen-crds && $(XTASK) gen-rbac && $(XTASK) gen-docs && $(XTASK) gen-dashboards && $(XTASK) gen-chart && $(XTASK) gen-manifests
gen-check: ## fail when one of them is stale
	$(XTASK) gen-crds --check && $(XTASK) gen-rbac --check && $(XTASK) gen-docs --check && $(XTASK) gen-dashboards --check && $(XTASK) gen-chart --check
cluster-up: ## a local cluster with 20 simulated nodes (see docs/cluster.md for kind, kubelet, your own)
	$(XTASK) cluster up --nodes kwok=20
cluster-down: ## stop it
	$(XTASK) cluster down
cluster-status: ## what is running
	$(XTASK) cluster status
image: ## the image of a release as gamekeeper.tar, without Docker
	$(XTASK) image --out gamekeeper.tar
trial: ## the long trials
	$(XTASK) trial kill && $(XTASK) trial allocate && $(XTASK) trial shards && $(XTASK) trial sync-faults && $(XTASK) trial shutdown
bench: ## every benchmark, an hour
	$(XTASK) bench all
