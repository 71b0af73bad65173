# SPDX-License-Identifier: GPL-2.0-only
#
# The front door. The build itself is meson's (meson.build); this file knows the few commands that
# people type.

BUILD := build
PREFIX ?= /usr/local
DESTDIR ?=
PYTHON ?= /usr/bin/python3
MAKEFLAGS += --no-print-directory
export PYTHONDONTWRITEBYTECODE := 1

.NOTPARALLEL:
.PHONY: all build deps deps-bench deps-long demo check check-long unit gate gate-record e2e bench \
	bench-full bench-plots lint format install clean help root

all: build ## build build/weir (the default)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: sudo scripts/install-deps.sh" >&2; exit 1; }
	@meson setup --prefix $(PREFIX) $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

# What root built in somebody's checkout belongs to that somebody, also when it failed.
build: $(BUILD)/build.ninja
	@ninja $$([ -t 1 ] || echo --quiet) -C $(BUILD) && ln -sfn src/weir $(BUILD)/weir; status=$$?; \
	if [ -n "$$SUDO_UID" ] && [ "$$(stat -c %u .)" = "$$SUDO_UID" ]; then \
		chown -hR "$$SUDO_UID:$$SUDO_GID" $(BUILD); fi; \
	exit $$status

deps: ## install missing packages (Debian 12, root)
	@scripts/install-deps.sh

root:
	@[ "$$(id -u)" = 0 ] || { echo "network namespaces and BPF need root: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

demo: root deps build ## show weir at work: five hosts, every scheduler (root)
	@lab/demo

check: root deps build lint unit gate e2e ## all checks and tests (root)
	@echo "check: everything passed"

check-long: deps-long check ## the same, and what takes minutes: other kernels, ten million packets on two CPUs and more (root)
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs $(if $(FULL),--timeout-multiplier 20) --suite long
	@tests/e2e/run -m long

unit: root build
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs

e2e: root build
	@tests/e2e/run

gate: root build ## have instruction counts grown by more than 10 %? (root)
	@tests/gate/gate $(BUILD)

gate-record: root build ## take today's instruction counts as the ones to keep to (root)
	@tests/gate/gate $(BUILD) --record

deps-bench deps-long:
	@scripts/install-deps.sh $(@:deps-%=%)

bench: root deps-bench build ## cost per packet, against nftables and HAProxy, at scale: five minutes (root)
	@$(PYTHON) bench/run $(BUILD) --json $(BUILD)/bench.json

bench-full: root deps-bench build ## the same with more rounds (root)
	@$(PYTHON) bench/run $(BUILD) --full --json $(BUILD)/bench.json

bench-plots: ## plots and tables of doc/performance.md and README.md from what `make bench` has measured
	@$(PYTHON) bench/publish $(BUILD)/bench.json

lint: build ## format, static analysis, the project's own laws
	@scripts/lint $(BUILD)

format: ## put all C sources into the project's format
	@find abi bpf src tests bench -name '*.[ch]' | xargs clang-format-14 -i

install: build ## install below DESTDIR and PREFIX
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean: ## remove what was built
	@rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
