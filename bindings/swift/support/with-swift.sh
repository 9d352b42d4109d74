#!/bin/bash
# Runs a command with `swift`: on this machine, if it is on PATH; else in a Debian trixie tree with Debian's
# swiftlang, which is created the first time (minutes) and kept in target/swift-chroot, or in OFFHOOK_SWIFT_CHROOT.
# When neither is available: prints a line about it, and exits with 77.
#
#   bindings/swift/support/with-swift.sh COMMAND...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
tree=${OFFHOOK_SWIFT_CHROOT:-$root/target/swift-chroot}

skip() {
  echo "SKIPPED: test-swift: $*. Install Swift 6 (Debian 13: apt-get install swiftlang); on Debian 12 run it as root with debootstrap installed" >&2
  exit 77
}

if command -v swift >/dev/null; then
  swift --version 2>/dev/null | grep -qE 'Swift version ([6-9]|[1-9][0-9])\.' || skip "the swift on PATH is older than 6.0"
  exec "$@"
fi
[ "$(uname -s)" = Linux ] || skip "there is no swift on PATH"
[ "$(id -u)" = 0 ] || skip "there is no swift on PATH, and making a tree with one needs root"
unshare --mount true 2>/dev/null || skip "there is no swift on PATH, and mount namespaces are not permitted here"
if [ ! -e "$tree/.offhook-swift-ready" ]; then
  command -v debootstrap >/dev/null || skip "there is no swift on PATH, and no debootstrap to make a tree with one"
  timeout -k 10 600 "$here/chroot.sh" "$tree" || skip "there is no swift on PATH, and no tree with one could be made"
fi
binds=("$root")
for directory in "${OFFHOOK_STAGE:-}" "$(dirname "${OFFHOOK_OTHER_ABI:-/}")"; do
  case "$directory" in "" | /) ;; "$root"/*) ;; *) binds+=("$directory") ;; esac
done
exec "$here/in-chroot.sh" "$tree" "${binds[@]}" -- "$@"
