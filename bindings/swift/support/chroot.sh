#!/bin/bash
# Creates a Debian trixie tree with a Swift toolchain (Debian's package swiftlang) for test.sh, for machines without
# Swift. Needs root and debootstrap; uses the mirror of this machine's apt. Takes a few minutes and 2 to 3 GB;
# existing parts are reused.
#
#   bindings/swift/support/chroot.sh DIRECTORY
set -euo pipefail
dir=${1:?usage: chroot.sh DIRECTORY}
suite=trixie
ready="$dir/.offhook-swift-ready"
log="$dir.log"

say() { echo "swift chroot: $*"; }
fail() { say "$* (see $log)" >&2; tail -5 "$log" >&2 || true; exit 1; }

if [ -e "$ready" ]; then exit 0; fi
mkdir -p "$(dirname "$dir")"
mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(SITE)' 'Created-By: Packages' |
         awk '$1 == "Debian" && $2 == "main" && $3 ~ /\/debian\/?$/ { print $3; exit }')
[ -n "$mirror" ] || { say "this machine's apt names no Debian mirror (apt-get update first?)" >&2; exit 1; }

# A tree of this script that is incomplete is created anew; any other directory is left alone.
making="$dir/.offhook-swift-making"
if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
  [ -e "$making" ] || { say "$dir is there and not a tree of this script's" >&2; exit 1; }
  rm -rf --one-file-system "$dir"
fi
mkdir -p "$dir"
touch "$making"
: > "$log"
say "making Debian $suite in $dir"
unshare --mount --propagation private \
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$mirror" >> "$log" 2>&1 ||
  fail "debootstrap failed"
say "installing the Swift toolchain (a large download, several minutes)"
printf '#!/bin/sh\nexit 101\n' > "$dir/usr/sbin/policy-rc.d"
chmod +x "$dir/usr/sbin/policy-rc.d"
chroot "$dir" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
  apt-get install -y --no-install-recommends swiftlang pkgconf libc6-dev >> "$log" 2>&1 ||
  fail "apt-get install swiftlang failed"
chroot "$dir" apt-get clean
say "checking it"
"$(dirname "$0")/in-chroot.sh" "$dir" -- swift --version >> "$log" 2>&1 || fail "swift does not start"
touch "$ready"
say "ready, $(du -sh "$dir" | cut -f1)"
