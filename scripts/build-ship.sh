#!/usr/bin/env bash
# build-ship.sh lib|sfu [cargo's options]: builds the release binaries (make dist): the library into target/ship, the
# development SFU into target/ship-sfu. They are built separately, so that neither depends on the other's cargo
# features.
#
# The same source gives the same bytes in any folder: no local path gets into the library, neither from rustc nor from
# the C parts (Opus, ring). scripts/reproducible.sh verifies it.
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
# A crate's source folder is named after its registry or mirror, which may differ between machines.
places=("$registry=/cargo" "$PWD=/offhook")
for folder in "$registry"/registry/src/*/; do places+=("${folder%/}=/crates"); done
maps=() cmaps=()
# The last match wins, so the target directory comes last: it may be inside the others.
for map in "${places[@]}" "$(cd "$target" && pwd -P)=/offhook/target" "$PWD/$target=/offhook/target"; do
  maps+=("--remap-path-prefix=$map") cmaps+=("-ffile-prefix-map=$map")
done
# Flags are separated by 0x1f, so that paths may contain spaces.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${maps[*]}")
export CARGO_ENCODED_RUSTFLAGS CFLAGS="${cmaps[*]}" CXXFLAGS="${cmaps[*]}"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1} ZERO_AR_DATE=1
exec "${CARGO:-cargo}" build --release --locked "${what[@]}" --target-dir "$target" "$@"
