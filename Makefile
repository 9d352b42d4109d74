# All tasks of Offhook by name. `make` alone lists them.
#
# Library, SFU and tools are built once, in release mode. The Rust tests share the third-party crates with that build
# and compile the workspace's crates with checks (see the profiles in Cargo.toml). Only the AddressSanitizer build is
# separate.

SHELL   := /bin/bash
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=
CARGO   ?= cargo
RUSTC   ?= rustc
CC      ?= cc

TOOLS   := target/built
SFU     := $(TOOLS)/offhook-sfu
LIBS    := target/lib
DEMO    := target/demo
BENCH   := target/bench
LIVEKIT := target/tools/livekit-server
CFLAGS  ?= -O2 -g
STRICT  := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread -Iinclude
LINK    := -L$(LIBS) -loffhook -lm -Wl,-rpath,$(CURDIR)/$(LIBS)

BENCH_SECONDS ?= 10
BENCH_SESSIONS ?= 1,5,10,25,50
BENCH_ROUNDS ?= 2

SOAK    := target/soak
SOAK_SECONDS ?= 600
SOAK_SEED ?= 1

# Steps of `make test`, in this order.
STEPS := build check-house check-licences test-rust lab loom check-header test-c test-livekit faults-short test-valgrind test-helgrind test-asan \
         check-install check-cli check-abi check-bindings check-docs test-bindings interop netlab-short demo-short demo-livekit-short soak-short

.PHONY: help setup build livekit demo demo-short demo-livekit demo-livekit-short test bench bench-livekit bench-bindings interop install header \
        lint clean test-rust lab lab-peers test-c test-livekit test-valgrind test-asan asan check-header check-install check-licences check-house \
        examples loom faults faults-short netlab netlab-short \
        stage check-cli check-bindings test-bindings test-cpp test-go test-python test-swift test-helgrind test-asan-rust sanitize miri fuzz soak soak-short \
        check-abi docs check-docs check-words check-pages dist dist-short check-dist reproducible

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
	  while IFS=$$'\t' read -r name text; do printf '  make %-15s %s\n' "$$name" "$$text"; done

setup: ## install what a bare Debian 12 lacks (apt when root; otherwise print the command)
	@scripts/setup.sh

build: setup ## the library, the development SFU and the tools, optimised
ifneq ($(BUILT),1)
	@scripts/say.sh "Building library, SFU and tools (first time: some minutes)"
	CARGO="$(CARGO)" scripts/build.sh
endif

livekit: ## the LiveKit server into target/tools, with the Go client; skipped with a message without one
	@scripts/livekit.sh || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

demo: examples ## three C programs in one call over a real SFU, watched live; about half a minute
	@scripts/say.sh "Demo: two talkers and a bot in one call"
	$(TOOLS)/offhook-demo --sfu $(SFU) --call $(DEMO)/bin/call --bot $(DEMO)/bin/bot \
	  --speech examples/speech --out $(DEMO)

demo-short: examples
	@scripts/say.sh "Short demo run"
	$(TOOLS)/offhook-demo --sfu $(SFU) --call $(DEMO)/bin/call --bot $(DEMO)/bin/bot \
	  --speech examples/speech --out target/demo-short --seconds 10

DEMO_LIVEKIT = $(TOOLS)/offhook-demo --livekit $(LIVEKIT) --call $(DEMO)/bin/call --speech examples/speech

demo-livekit: examples livekit ## two C programs over two nodes of the LiveKit server; one node is killed mid-sentence
	@scripts/say.sh "Demo on LiveKit: two talkers, two nodes, one is killed"
	@$(DEMO_LIVEKIT) --out target/demo-livekit || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

demo-livekit-short: examples livekit
	@scripts/say.sh "Short demo run on LiveKit"
	@$(DEMO_LIVEKIT) --out target/demo-livekit-short --seconds 22 || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

examples: build
	@mkdir -p $(DEMO)/bin
	$(CC) $(CFLAGS) $(STRICT) examples/call.c -o $(DEMO)/bin/call $(LINK)
	$(CC) $(CFLAGS) $(STRICT) examples/bot.c -o $(DEMO)/bin/bot $(LINK)

test: setup ## all checks, from unit tests to interop; stops at the first step that fails
	@set -e; n=0; trap 'kill $$(jobs -p) 2>/dev/null || true' EXIT; for step in $(STEPS); do n=$$((n+1)); \
	  scripts/say.sh "Step $$n of $(words $(STEPS)): $$step"; \
	  begun=$$SECONDS; SETUP_DONE=1 $(MAKE) --no-print-directory $$step || { scripts/say.sh "FAILED in step $$step"; exit 1; }; \
	  echo "step $$step: $$((SECONDS - begun)) s"; \
	  if [ $$step = test-rust ]; then scripts/early.sh scripts/build-asan.sh & fi; \
	done; scripts/say.sh "All $$n steps passed in $$SECONDS s"

test-rust: ## Rust tests of the whole workspace
	$(CARGO) test --profile bench --workspace

lab: ## every fault in virtual time: SEEDS=n [FROM=m], SEED=n to read one schedule, REPLAY=FILE for a call's trace; target/lab/summary.json
	@scripts/say.sh "Fault lab: $(if $(REPLAY),$(REPLAY),$(if $(SEED),seed $(SEED),$(or $(SEEDS),50000) seeds))"
	LAB_REPLAY=$(REPLAY) LAB_SEEDS=$(or $(SEEDS),50000) LAB_FROM=$(FROM) LAB_SEED=$(SEED) LAB_CLASSES=$(CLASSES) LAB_PLANT=$(PLANT) LAB_PROTOCOL=$(PROTOCOL) \
	  $(CARGO) test --profile bench --workspace --test lab -- --nocapture $(if $(REPLAY),replay_gives,every_schedule_keeps_the_rules)

lab-peers: ## the lab's real peer connections in virtual time, loss of DTLS included: SEEDS=20000
	@scripts/say.sh "Real peer connections in virtual time: $(or $(SEEDS),20000) seeds"
	LAB_PEERS=$(or $(SEEDS),20000) $(CARGO) test --profile bench --workspace --test lab -- --nocapture real_peer_connections_live

check-header: ## header fresh, alone compilable as C99 and C++17, symbols equal both ways
	@scripts/check-header.sh
	@python3 tests/abi/test_header.py

test-c: build ## C tests, plain; one by name: scripts/run-c-tests.sh plain NAME
	@scripts/run-c-tests.sh plain

test-livekit: build ## C tests against the real LiveKit server; skipped with a message without one. By name: scripts/run-c-tests.sh livekit NAME
	@scripts/livekit.sh; code=$$?; \
	  if [ $$code = 77 ]; then echo "SKIPPED: test-livekit: without the server none of these tests ran"; exit 0; fi; \
	  [ $$code = 0 ] && scripts/run-c-tests.sh livekit

test-valgrind: build ## C tests under valgrind memcheck
	@scripts/run-c-tests.sh valgrind

asan:
	@scripts/early.sh --now
	@scripts/build-asan.sh

test-asan: build asan ## C tests and library under AddressSanitizer
	@scripts/run-c-tests.sh asan

loom: ## handle registry, dispatcher and close latch under a model checker; by hand: LOOM_PREEMPTIONS=n
	@scripts/say.sh "Models of the handle registry, the dispatcher and the close latch"
	$(CARGO) run --quiet --manifest-path tests/loom/Cargo.toml --target-dir target/loom

test-helgrind: build ## C tests under valgrind helgrind (locks and threads of pthread)
	@scripts/run-c-tests.sh helgrind

test-asan-rust: ## unit tests of the library under AddressSanitizer
	@scripts/test-asan-rust.sh

sanitize: test-asan-rust test-asan test-valgrind test-helgrind miri ## all memory and thread checkers

miri: ## the handle registry and the queues under Miri, where the toolchain has it
	@if $(CARGO) miri --version >/dev/null 2>&1; then \
	  MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) miri test -p offhook --lib --target-dir target/miri -- capi::handles dispatch::queue; \
	else echo "miri: not in this toolchain (rustup component add miri, nightly); the models of \`make loom\` stand in"; fi

fuzz: ## fuzz every target for FUZZ_SECONDS=60 each; one: scripts/fuzz.sh NAME
	@scripts/fuzz.sh

faults: ## the nth system call fails, for every n (OFFHOOK_FAULTS=200); descriptors and threads exhausted
	@OFFHOOK_FAULTS=$${OFFHOOK_FAULTS:-200} $(MAKE) --no-print-directory faults-short

faults-short: build
	@scripts/run-c-tests.sh faults

$(SOAK)/worker: build tests/soak/*.[ch]
	@mkdir -p $(SOAK)
	$(CC) $(CFLAGS) $(STRICT) tests/soak/*.c -o $@ $(LINK)

soak: $(SOAK)/worker ## 50 sessions in one process while edges are killed and sockets freeze (SOAK_SECONDS=, SOAK_SEED=)
	@scripts/say.sh "Soak: a storm of $(SOAK_SECONDS) s, seed $(SOAK_SEED)"
	$(TOOLS)/offhook-soak --sfu $(SFU) --worker $(SOAK)/worker --out $(SOAK) --seconds $(SOAK_SECONDS) --seed $(SOAK_SEED)

soak-short: ## the same in two minutes
	@$(MAKE) --no-print-directory soak SOAK_SECONDS=80

NETLAB = tests/netlab/netlab.py --rounds $(or $(ROUNDS),1) $(addprefix --only ,$(ONLY))

netlab: build livekit ## calls in networks of Linux namespaces (root): NAT, firewalls, proxies, loss, changes; ONLY=NAME, ROUNDS=n
	@tests/livekit/official/env.sh || { code=$$?; [ $$code = 77 ] || exit $$code; }
	@tests/netlab/livekit-client.sh || { code=$$?; [ $$code = 77 ] || exit $$code; }
	@$(NETLAB) --official --chromium || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

netlab-short: build ## thirteen of these networks, in a minute
	@$(NETLAB) --short --jobs 3 || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

check-install: build ## install into an empty tree, build the examples with pkg-config, run them
	@scripts/check-install.sh

interop: examples ## a call with an independent WebRTC stack (Python, aiortc)
	@tests/interop/run.sh

BENCH_WORKER = $(CC) $(CFLAGS) $(STRICT) benches/worker.c benches/reconnect.c benches/packets.c -o $(BENCH)/worker $(LINK)

bench: build ## measure; a table and target/bench/summary.json (BENCH_SECONDS=)
	@mkdir -p $(BENCH)
	$(BENCH_WORKER)
# Without cargo: for an example it would build the library again, with the features of its tests.
	$(RUSTC) --edition 2021 -O examples/handle_lookup.rs -o $(BENCH)/handle_lookup \
	  --extern offhook=$(TOOLS)/liboffhook.rlib -L dependency=target/release/deps
	CARGO="$(CARGO)" RUSTC="$(RUSTC)" scripts/build-engine-bench.sh $(BENCH)/engine
	@scripts/say.sh "Benchmark: the baseline for instructions, on the async crate"
	$(CARGO) build --release --locked --manifest-path benches/baseline/Cargo.toml --target-dir target
	@scripts/say.sh "Benchmark: library and SFU in separate processes"
	$(TOOLS)/offhook-bench --sfu $(SFU) --worker $(BENCH)/worker --watch-seconds $(BENCH_SECONDS) \
	  --baseline target/release/offhook-baseline --engine $(BENCH)/engine --lookup $(BENCH)/handle_lookup --library $(LIBS)/liboffhook.so.1 --out $(BENCH)
	@$(MAKE) --no-print-directory bench-livekit
	@$(MAKE) --no-print-directory bench-bindings

bench-livekit: build livekit ## the same on LiveKit, beside its official client (BENCH_SECONDS=, BENCH_SESSIONS=1,50)
	@mkdir -p $(BENCH)
	$(BENCH_WORKER)
	@scripts/say.sh "Benchmark on the LiveKit server: offhook and the official client in turn"
	@$(TOOLS)/offhook-bench --livekit $(LIVEKIT) --worker $(BENCH)/worker --library $(LIBS)/liboffhook.so.1 \
	  --official benches/livekit_worker.py --environment tests/livekit/official/env.sh --venv target/livekit/venv \
	  --out $(BENCH) --watch-seconds $(BENCH_SECONDS) --sessions "$(BENCH_SESSIONS)" --rounds $(BENCH_ROUNDS) \
	  || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

bench-bindings: stage ## cost of an event and a frame from library to callback, in each language (BENCH_SECONDS=)
	@scripts/bench-bindings.py $(BENCH_SECONDS)

install: build ## install library, headers, offhook.pc, the CMake package and the development SFU (DESTDIR, PREFIX, LIBDIR)
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" SFU=$(SFU) scripts/install.sh

header: setup ## regenerate include/offhook.h from src/capi
	@scripts/check-header.sh --write

stage: build ## library, header and offhook.pc as installed, for the bindings: target/stage
ifneq ($(BUILT),1)
	@STRIP=0 PREFIX=$(CURDIR)/target/stage scripts/install.sh
endif

check-cli: stage ## the program offhook: exit codes, reports, no secrets in its output or its arguments
	@timeout -k 20 300 scripts/with-sfu.sh scripts/check-cli.sh

test-bindings: stage ## the tests of all four bindings, at the same time
	@scripts/side-by-side.sh test-cpp test-go test-python test-swift

test-cpp: stage ## the C++ binding: plain, AddressSanitizer, ThreadSanitizer, a CMake project
	@timeout -k 20 900 scripts/with-sfu.sh bindings/cpp/test.sh || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

test-go: stage ## the Go binding: vet, race detector, checkptr, static
	@timeout -k 20 900 scripts/with-sfu.sh bindings/go/test.sh || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

test-python: stage ## the Python binding, as a wheel in its own environment
	@timeout -k 20 900 scripts/with-sfu.sh bindings/python/test.sh || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

test-swift: stage ## the Swift binding; installs a toolchain if there is none
	@timeout -k 20 900 scripts/with-sfu.sh bindings/swift/test.sh || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

check-bindings: ## every function, constant and field of the header is in every binding; every scenario in its tests
	@scripts/check-bindings.py

check-licences: ## every crate that is linked or used carries a licence that fits
	@python3 scripts/check-licences.py

check-house: ## purity of core and media, unsafe only in capi, one file names the engine
	@scripts/check-house.sh

lint: check-house ## formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --profile bench -- -D warnings

clean: ## remove everything that was built
	$(CARGO) clean

check-abi: build ## the binary interface matches abi/; the checker detects planted breaks
	@python3 tests/abi/test_check_abi.py
	@python3 scripts/check-abi.py

docs: ## the documentation as a site with search: guides, references of C and the bindings: target/docs/index.html
	@scripts/docs.py || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }
	@scripts/docs-swift.sh target/docs || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

check-docs: stage check-words ## every item of the header is documented, no link is broken, the guides' code runs
	@scripts/docs.py --check
	@python3 tests/docs/test_docs.py
	@scripts/docs.py || { code=$$?; [ $$code = 77 ] || exit $$code; }
	@scripts/with-sfu.sh scripts/check-guides.py

check-words: ## documents use the words of the field (scripts/check-words.py has the list)
	@scripts/check-words.py

check-pages: docs ## the pages at 1280 and 390 px in headless Chromium: nothing is cut off, the search works from a file
	@scripts/check-docs-width.py || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }

dist: setup ## tarball, .deb, wheel, debug files, sources into target/dist; then tried from an empty tree
	@scripts/dist.sh
	@scripts/check-dist.sh

dist-short: build ## the same with the library and the SFU that are built already, in two minutes
	@OFFHOOK_SFU=$(SFU) OFFHOOK_BUILT=1 OFFHOOK_BUILD=target/built scripts/dist.sh
	@OFFHOOK_BUILT=1 scripts/check-dist.sh

check-dist: ## check target/dist again
	@scripts/check-dist.sh

reproducible: setup ## build and pack twice in two folders and compare; two whole builds (PACK_ONLY=1: only packing)
	@scripts/reproducible.sh
