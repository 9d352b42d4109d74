#!/usr/bin/env bash
# early.sh COMMAND...: runs a command at idle priority, so that a build for a later step completes while tests wait.
# Discards its output: the later step runs it again and shows errors.
# early.sh --now: lets a command that still runs have normal priority, because the later step waits for it.
set -uo pipefail
cd "$(dirname "$0")/.."
pid_file=target/early.pid
if [ "${1:-}" = --now ]; then
  [ -e $pid_file ] || exit 0
  waiting=("$(cat $pid_file)")
  # The number may belong to another process by now.
  [ "$(readlink "/proc/${waiting[0]}/cwd")" = "$PWD" ] || exit 0
  while [ ${#waiting[@]} -gt 0 ]; do
    pid=${waiting[0]}
    waiting=("${waiting[@]:1}")
    chrt -a -o -p 0 "$pid" >/dev/null 2>&1
    # shellcheck disable=SC2207
    waiting+=($(cat "/proc/$pid/task/"*/children 2>/dev/null))
  done
  exit 0
fi
idle=(nice -n 19)
chrt -i 0 true 2>/dev/null && idle=(chrt -i 0)
mkdir -p target
echo $$ >$pid_file
exec "${idle[@]}" "$@" >/dev/null 2>&1
