#!/usr/bin/env bash
# Makes sure that the programs needed by the build and the tests are installed. Checks first and installs only missing
# packages with apt, so a second run costs nothing. Without root it prints the command instead.
set -euo pipefail
[ "${SETUP_DONE:-}" = 1 ] && exit 0

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }

need gcc gcc
need g++ g++
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
need make make
need cmake cmake             # libopus inside the opus crate
need pkg-config pkg-config   # the install test
need python3 python3
need xz xz-utils             # archives of the sources and packages
# On Debian, venv and ensurepip are a separate package, and another python3 may be first in PATH.
if ! command -v python3 >/dev/null 2>&1 || ! python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then
  missing+=(python3-venv)
fi
# memcheck needs the symbols of the dynamic linker; running it is the only reliable check.
if ! command -v valgrind >/dev/null 2>&1; then
  missing+=(valgrind libc6-dbg)
elif ! valgrind -q --error-exitcode=1 /bin/true >/dev/null 2>&1; then
  missing+=(libc6-dbg)
fi

if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: missing: ${missing[*]} (Debian's names); no apt-get here, please install them" >&2
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "setup: this machine lacks ${missing[*]}. Install with:" >&2
    echo "  sudo apt-get install -y ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

# Some tests use these, and skip with a message without them.
optional=() without=()
want() { [ -n "$(command -v "$1" 2>/dev/null)" ] || [ -e "$1" ] || { optional+=("$2"); without+=("$3"); }; }
want redis-server redis-server "tests with a LiveKit cluster"
want debootstrap debootstrap "the tests of the Swift binding (without a swift of the machine's own)"
want doxygen doxygen "the reference of the C++ binding"
want dpkg-shlibdeps dpkg-dev "the Debian packages"
want turnserver coturn "the test of calls through a relay"
want ip iproute2 "the check of the packages without a network, and the network laboratory"
want nft nftables "the network laboratory"
want openssl openssl "the network laboratory"
want tayga tayga "NAT64 in the network laboratory"
want /usr/include/uv.h libuv1-dev "the libuv example"
if [ ${#optional[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    # Some of these packages start a system-wide server. The tests start their own, on loopback.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    fi
    apt-get update -q && apt-get install -y -q --no-install-recommends "${optional[@]}" ||
      printf 'setup: not installed, and skipped: %s\n' "${without[@]}" >&2
  else
    printf 'setup: skipped on this machine: %s\n' "${without[@]}" >&2
    echo "setup: they need: sudo apt-get install -y ${optional[*]}" >&2
  fi
fi
if ! command -v go >/dev/null 2>&1 && [ ! -x /usr/local/go/bin/go ]; then
  echo "setup: no Go: tests against the LiveKit server and of the Go binding will be skipped (any Go of at least 1.24 will do)" >&2
fi

if ! command -v cargo >/dev/null 2>&1; then
  if [ -x "$HOME/.cargo/bin/cargo" ]; then
    echo "setup: cargo is in ~/.cargo/bin but not in PATH: . ~/.cargo/env" >&2
  else
    echo "setup: no Rust toolchain; get one from https://rustup.rs (stable, 1.90 or newer)" >&2
  fi
  exit 1
fi
