#!/usr/bin/env bash
# reproducible.sh: builds the sources of the commit twice, in two folders of different names and depths, and packs both;
# every file must have the same hash. Takes two whole builds (at least ten minutes): `make reproducible`, never `make
# test`. Environment: OFFHOOK_SFU=FILE packs this SFU instead of building one twice; JOBS=1; PACK_ONLY=1 packs the build
# in target/ship twice without compiling; KEEP=1 keeps the folders.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/reproducible
rm -rf "$work" && mkdir -p "$work"
# One commit for both, even if HEAD moves meanwhile.
commit=$(git rev-parse HEAD)
epoch=$(git log -1 --format=%ct "$commit")
places=("$work/one" "$work/another/and-rather-longer/place")
[ -z "${OFFHOOK_SFU:-}" ] || export OFFHOOK_SFU=$(realpath "$OFFHOOK_SFU")

for place in "${places[@]}"; do
  mkdir -p "$place"
  git archive "$commit" | tar -x -C "$place"
  scripts/say.sh "In $place"
  (
    cd "$place"
    # Prevents dist.sh from finding the git repository: the sources here are already extracted.
    export GIT_CEILING_DIRECTORIES=$work SOURCE_DATE_EPOCH=$epoch OFFHOOK_BUILT=1
    mkdir -p target
    if [ "${PACK_ONLY:-}" = 1 ]; then
      mkdir -p target/ship/release
      cp "$OLDPWD/target/ship/release/liboffhook.a" target/ship/release/
    else
      nice -n 15 scripts/build-ship.sh lib -j"${JOBS:-1}"
      if [ -z "${OFFHOOK_SFU:-}" ]; then
        nice -n 15 scripts/build-ship.sh sfu -j"${JOBS:-1}"
        export OFFHOOK_SFU=$PWD/target/ship-sfu/release/offhook-sfu
      fi
    fi
    nice -n 15 scripts/dist.sh
    nice -n 15 sha256sum target/ship/release/liboffhook.a target/ship/release/versioned/liboffhook.so >target/built.sums
  )
done
same=1
diff -u "${places[0]}/target/dist/SHA256SUMS" "${places[1]}/target/dist/SHA256SUMS" || same=0
diff -u "${places[0]}/target/built.sums" "${places[1]}/target/built.sums" || same=0
if [ "$same" != 1 ]; then
  echo "reproducible: the two differ; both are in $work (diffoscope shows where)" >&2
  exit 1
fi
cat "${places[0]}/target/built.sums" "${places[0]}/target/dist/SHA256SUMS"
[ "${KEEP:-}" = 1 ] || rm -rf "$work"
echo "ok $([ "${PACK_ONLY:-}" = 1 ] && echo "packed twice from one build" || echo "built and packed twice, in two folders"): the same bytes"
