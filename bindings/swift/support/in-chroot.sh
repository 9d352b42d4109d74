#!/bin/bash
# Runs a command inside a tree made by chroot.sh, with /proc, /dev and the directories named bound into it at their own
# paths, in a mount namespace of its own: nothing stays mounted. Needs root. The network is that of the machine.
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
