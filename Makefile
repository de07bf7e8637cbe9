# The programs need swift-argument-parser; the library does not (see Package.swift).
export LRP2P_TOOLS = 1

.PHONY: setup build install run test bench sim fuzz sanitize docs format lint clean

# Installs what Debian lacks; does nothing when all is there.
setup:
	@scripts/setup

# The release programs, in bin/.
build: setup
	swift build -c release --product lrp2p
	swift build -c release --product lrp2p-bench
	swift build -c release --product lrp2p-sim
	@mkdir -p bin
	@install .build/release/lrp2p .build/release/lrp2p-bench .build/release/lrp2p-sim bin/

# The programs, their manual pages and completions: make install PREFIX=$HOME/.local for one user alone.
PREFIX ?= /usr/local
install: build
	@scripts/install $(PREFIX)

# A file of 1 GiB between two processes, then the throughput table.
run: build
	@scripts/run

# Serially: some tests watch the memory of the whole process. Built first, as `swift test` builds everything for
# `@testable`, which nothing here needs, and neither the programs nor the linter could then use it.
test: setup
	swift build -c release --build-tests
	swift test -c release --no-parallel --skip-build

# All scenarios in turn, into docs/benchmarks.md and pictures; make bench BENCH="--rounds 3" for less.
bench: build
	scripts/bench $(BENCH)

# The profiles in virtual time, and pictures of them in docs/pictures/.
sim: build
	scripts/sim

# make fuzz SECONDS=600 for longer.
SECONDS ?= 60
fuzz: setup
	scripts/fuzz $(SECONDS)

sanitize: setup
	scripts/sanitize

docs:
	@ls docs/*.md

format:
	swift format --in-place --recursive Package.swift Sources Tests Benchmarks Examples Fuzz

lint: setup
	@scripts/lint

# After the layout of a type has changed: the build system does not see that other modules have it inlined, and what they do with
# an old layout is a crash.
clean:
	rm -rf .build .build-* bin
