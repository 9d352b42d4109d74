#!/usr/bin/env bash
# Rules of this repository that the compiler does not check:
#   - src/core and src/media are pure: no runtime, sockets, files, threads, clock or randomness;
#   - `unsafe` is used only in src/capi;
#   - only src/rtc/webrtc.rs (and files below src/rtc/webrtc/) names the engine's crates;
#   - every Rust file begins with its purpose (`//!`); more than 600 lines cause a warning: the file may have two subjects;
#   - no module above src/signalling names a protocol; panics, dispatch, log and runtime use only those before them, net none above it.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
complain() { echo "check-house: $1" >&2; sed 's/^/    /' <<<"$2" >&2; failed=1; }

# Code without comments and without the content of strings, as FILE:LINE:TEXT.
code() {
  find "$@" -name '*.rs' -print0 2>/dev/null | sort -z | xargs -0 -r perl -ne '
    $line = $_;
    $line =~ s/"(?:[^"\\]|\\.)*"/""/g;
    if ($in) { if ($line =~ s{^.*?\*/}{}) { $in = 0 } else { $line = "" } }
    $line =~ s{/\*.*?\*/}{}g; $line =~ s{//.*}{};
    if ($line =~ s{/\*.*}{}) { $in = 1 }
    # Paths in the braces of `use crate::{...}` are expanded, so that they can be matched.
    $use = 1 if $line =~ /^\s*(pub(\(\w+\))? )?use crate::\{/;
    if ($use) {
      $line =~ s/([{,]\s*|^\s*)(?!use\b|pub\b|crate\b)([a-z_])/$1crate::$2/g;
      $use = 0 if $line =~ /;/;
    }
    print "$ARGV:$.:$line" if $line =~ /\S/;
    print "\n" if $line =~ /\S/ && $line !~ /\n$/;
    if (eof) { close ARGV; $in = 0; $use = 0 }'
}

impure=$(code src/core src/media | grep -v '^src/core/tests/' | grep -E \
  '\btokio\b|\bmio\b|std::(net|fs|process|thread|env)\b|\bSystemTime\b|\bInstant\b|\bgetrandom\b|\brand::|\bfastrand\b|\bRandomState\b|\bthread::|\blibc::')
[ -z "$impure" ] || complain "core and media take time and seeds as arguments and do no I/O:" "$impure"

upward=$(code src/core src/media | grep -E '\bcrate::(capi|session|signalling|rtc|dispatch|runtime)\b')
[ -z "$upward" ] || complain "core and media must not use modules above or beside them:" "$upward"

unsafe=$(code src | grep -v '^src/capi/' | grep -vE 'unsafe_(code|op_in_unsafe_fn)' | grep -E '\bunsafe\b')
[ -z "$unsafe" ] || complain "unsafe is used only in src/capi:" "$unsafe"
allows=$(code src | grep -v '^src/capi/' | grep -vE '^src/lib\.rs:' | grep -E 'allow\(.*unsafe_code')
[ -z "$allows" ] || complain "only src/lib.rs may allow unsafe, and only for capi:" "$allows"

# A path that begins with the crate's name. `crate::rtc::` and `self::webrtc::` are modules of this crate, and so is
# `webrtc::` where that module is declared (there the external crate would be `::webrtc::`).
engine=$(code src tools | grep -vE '^src/rtc/webrtc(\.rs|/)' |
  grep -P '(?<![\w:])(?:::)?(?:webrtc|rtc)::' |
  grep -vP '^src/rtc/mod\.rs:\d+:[^;]*(?<!:)\bwebrtc::')
[ -z "$engine" ] || complain "only src/rtc/webrtc.rs names the engine's crates:" "$engine"

protocols=$(code src/session src/capi src/core src/diagnose | grep -vE '^src/capi/token\.rs:' |
  grep -E '\bcrate::signalling::(stream|livekit)\b|\b(Stream|LiveKit)Service\b|(^|[^:_[:alnum:]])(stream|livekit)::\{?[A-Za-z]' |
  grep -vE 'futures_util::stream')
[ -z "$protocols" ] || complain "above src/signalling no protocol is named:" "$protocols"

# Lower modules must not use higher ones.
circle=$(
  code src/net | grep -E '\bcrate::(capi|session|signalling|rtc|dispatch|media|runtime)\b'
  code src/panics.rs | grep -E '\bcrate::(dispatch|log|runtime)\b'
  code src/dispatch | grep -E '\bcrate::(log|runtime)\b|\boh_log!'
  code src/log.rs | grep -E '\bcrate::runtime\b'
)
[ -z "$circle" ] || complain "panics, dispatch, log, runtime: each uses only those before it; net uses none above it:" "$circle"

for file in $(find src sfu tools proto/src tests -name '*.rs' | sort); do
  head -1 "$file" | grep -q '^//!' || complain "the first line does not say what the file is for (//!):" "$file"
  lines=$(wc -l <"$file")
  [ "$lines" -le 600 ] || echo "check-house: warning: longer than 600 lines: $file ($lines)" >&2
done

[ "$failed" = 0 ] && echo "ok rules of the repository: pure core and media, unsafe in capi only, one file for the engine"
exit "$failed"
