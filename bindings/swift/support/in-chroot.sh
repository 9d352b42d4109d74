#!/bin/bash
# Runs a command inside a tree made by chroot.sh, with /proc, /dev and the named directories bound into it at the same
# paths, in a separate mount namespace: no mount remains. Needs root. The network is that of the machine.
#
#   bindings/swift/support/in-chroot.sh TREE [DIRECTORY...] -- COMMAND...
set -euo pipefail
tree=$1
shift
binds=()
while [ "$1" != -- ]; do
  binds+=("$1")
  shift
done
shift
export HOME=/root
exec unshare --mount --propagation private bash -c '
  set -e
  tree=$1 count=$2
  shift 2
  mount -t proc proc "$tree/proc"
  mount --rbind /dev "$tree/dev"
  for ((; count > 0; count--)); do
    mkdir -p "$tree$1"
    mount --bind "$1" "$tree$1"
    shift
  done
  exec chroot "$tree" "$@"' in-chroot "$tree" "${#binds[@]}" "${binds[@]}" "$@"
