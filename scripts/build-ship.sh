#!/usr/bin/env bash
# build-ship.sh lib|sfu [cargo's options]: builds what is handed out (make dist): the library into target/ship, the
# development SFU into target/ship-sfu. Each by itself, so that neither depends on what the other asks cargo for.
#
# The same source gives the same bytes wherever it lies: no path of this machine gets into the library, neither from
# rustc nor from the C parts (Opus, ring). scripts/reproducible.sh shows it.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
  lib) what=(-p offhook --lib) home=ship ;;
  sfu) what=(-p offhook-sfu --bin offhook-sfu) home=ship-sfu ;;
  *) echo "build-ship: lib or sfu, not '${1:-}'" >&2; exit 2 ;;
esac
shift
target=target/$home
mkdir -p "$target"
registry=${CARGO_HOME:-$HOME/.cargo}
${CARGO:-cargo} fetch --locked --quiet
# A crate lies in a folder named after the registry or mirror that it came from: another machine may have another.
places=("$registry=/cargo" "$PWD=/offhook")
for folder in "$registry"/registry/src/*/; do places+=("${folder%/}=/crates"); done
maps=() cmaps=()
# The last that fits wins, so the target directory comes last: it may lie inside the others.
for map in "${places[@]}" "$(cd "$target" && pwd -P)=/offhook/target" "$PWD/$target=/offhook/target"; do
  maps+=("--remap-path-prefix=$map") cmaps+=("-ffile-prefix-map=$map")
done
# One flag per 0x1f, so that paths may hold spaces.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${maps[*]}")
export CARGO_ENCODED_RUSTFLAGS CFLAGS="${cmaps[*]}" CXXFLAGS="${cmaps[*]}"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1} ZERO_AR_DATE=1
exec "${CARGO:-cargo}" build --release --locked "${what[@]}" --target-dir "$target" "$@"
