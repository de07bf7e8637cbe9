# The programs need swift-argument-parser; the library does not (see Package.swift).
export LRP2P_TOOLS = 1

.PHONY: help setup build install run test bench sim fuzz sanitize docs format lint ci clean
.DEFAULT_GOAL := help

# Lists all targets and scripts.
help:
	@scripts/help

# Installs the packages that Debian lacks, if any.
setup:
	@scripts/setup

# Builds the programs in release mode, into bin/. Swift's own libraries are in them, so they run where no toolchain is.
build: setup
	swift build -c release --product lrp2p
	swift build -c release --product lrp2p-bench
	swift build -c release --product lrp2p-sim
	@mkdir -p bin
	@install .build/release/lrp2p .build/release/lrp2p-bench .build/release/lrp2p-sim bin/

# Installs the programs with manual pages and completions; make install PREFIX=$HOME/.local does so for one user.
PREFIX ?= /usr/local
install: build
	@scripts/install $(PREFIX)

# Sends a file of 1 GiB from one process to another, then prints the throughput table.
run: build
	@scripts/run

# Runs all tests. Serially: some tests watch the memory of the whole process. Built first, as `swift test` builds everything for
# `@testable`, which nothing here needs, and neither the programs nor the linter could then use it.
test: setup
	swift build -c release --build-tests
	swift test -c release --no-parallel --skip-build

# Measures all scenarios in turn, for docs/benchmarks.md and its pictures; make bench BENCH="--rounds 3" for less.
bench: build
	@scripts/setup python3-matplotlib
	scripts/bench $(BENCH)

# Plays the simulator's profiles in virtual time and draws them into docs/pictures/.
sim: build
	scripts/sim

# Fuzzes the receive path; make fuzz SECONDS=600 for longer.
SECONDS ?= 60
fuzz: setup
	scripts/fuzz $(SECONDS)

# Runs the tests under the address and the thread sanitizer.
sanitize: setup
	scripts/sanitize

# Builds the documentation of the interface, the guides and the tutorial as a web site, in .build-docs.
docs: setup
	@scripts/docs

# Formats all Swift sources.
format:
	swift format --in-place --recursive Package.swift Sources Tests Benchmarks Examples Fuzz

# Checks formatting, house rules, words, the interface, and that the build has no warning.
lint: setup
	@scripts/lint

# Runs what every change has to pass, and shows what each check took.
ci: setup
	@scripts/ci

# Removes all builds. Needed after the layout of a type has changed: the build system does not see that other modules have it
# inlined, and what they do with an old layout is a crash.
clean:
	rm -rf .build .build-* bin
