# Every target is one line; the work is in `cargo xtask` (xtask/src), which says what it does as it goes.
.DEFAULT_GOAL := help
.PHONY: help demo test check fmt lint deny unit gen gen-check cluster-up cluster-down cluster-status trial bench

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
demo: ## a cluster, the controllers and three game servers, with timings
	cargo xtask demo
test: ## everything CI needs: format, lints, generated files, unit, API server, simulated and real nodes
	cargo xtask test
check: fmt lint gen-check ## what to run before a commit (no cluster)
fmt: ## formatting, as CI checks it
	cargo fmt --all --check
lint: ## clippy with warnings as errors
	cargo clippy --workspace --all-targets -- -D warnings
deny: ## banned crates, licences and sources
	cargo xtask test --only deny
unit: ## unit and property tests, no cluster
	cargo xtask test --only unit
gen: ## regenerate crds/
	cargo xtask gen-crds
gen-check: ## fail when crds/ is stale
	cargo xtask gen-crds --check
cluster-up: ## a local cluster with 20 simulated nodes (see docs/cluster.md for kind, kubelet, your own)
	cargo xtask cluster up --nodes kwok=20
cluster-down: ## stop it
	cargo xtask cluster down
cluster-status: ## what is running
	cargo xtask cluster status
trial: ## the long fault and allocation trials
	cargo xtask trial kill && cargo xtask trial allocate
bench: ## creation speed and cost beside a plain client
	cargo xtask bench create
