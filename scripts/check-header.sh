#!/usr/bin/env bash
# check-header.sh [--write]
#
# include/offhook.h is generated from src/capi by a pinned cbindgen and scripts/header.py, and committed. Checks that it
# is up to date, that it compiles on its own as C99 and as C++17 without a warning, and that it declares exactly the
# functions that the library exports. --write regenerates it.
set -euo pipefail
cd "$(dirname "$0")/.."
header=include/offhook.h
version=0.29.4
cbindgen=target/tools/bin/cbindgen

if [ ! -x "$cbindgen" ] || [ "$("$cbindgen" --version)" != "cbindgen $version" ]; then
  echo "Installing cbindgen $version into target/tools (once)"
  cargo install cbindgen --version "$version" --root target/tools --locked --quiet
fi
mkdir -p target/header
fresh=target/header/offhook.h
"$cbindgen" --quiet --config cbindgen.toml --crate offhook --output target/header/raw.h .
scripts/header.py target/header/raw.h "$fresh"

if [ "${1:-}" = --write ]; then
  mkdir -p include
  cmp -s "$fresh" "$header" || cp "$fresh" "$header"
  echo "$header is written"
  exit 0
fi
if ! diff -u "$header" "$fresh" >target/header/diff; then
  head -60 target/header/diff
  echo "check-header: $header is stale: make header, then commit it" >&2
  exit 1
fi
echo "ok header is fresh"

# On its own, twice, and by two paths to the same file. Every macro is used, because the compiler does not check unused
# ones.
once='#include "offhook.h"'
twice="$once
#include <offhook.h>
#include \"../include/offhook.h\""
uses=$(sed -n 's/^} \(oh_[a-z_]*_options\|oh_limits\|oh_call_stats\|oh_call_handlers\);/\1/p' $header | while read -r name; do
  echo "extern size_t use_$name(void); size_t use_$name(void) { $name o = OH_INIT($name); return o.size; }"
done)
[ "$(wc -l <<<"$uses")" -ge 10 ] || { echo "check-header: $header has too few structures" >&2; exit 1; }
for language in "cc c99 c" "cc c11 c" "c++ c++17 c++" "c++ c++20 c++"; do
  read -r compiler standard kind <<<"$language"
  for text in "$once" "$twice
$uses"; do
    "$compiler" -x "$kind" -std="$standard" -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only - <<<"$text"
  done
  echo "ok compiles alone and included twice as $standard"
done
# Together with the C++ binding, in either order, with both folders in the include path.
for text in $'#include <offhook.h>\n#include <offhook/offhook.hpp>' $'#include <offhook/offhook.hpp>\n#include <offhook.h>\n#include "offhook.hpp"'; do
  c++ -x c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -Iinclude -Ibindings/cpp/include -Ibindings/cpp/include/offhook -fsyntax-only - <<<"$text"
done
echo "ok compiles next to offhook.hpp"

lib=${1:-$(scripts/link-lib.sh target/built)}
[ -e "$lib" ] || { echo "check-header: $lib is not built: make build" >&2; exit 1; }
# Type A is a version name, not a symbol.
nm -D --defined-only "$lib" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort -u >target/header/exported
# The preprocessor removes comments and macros. Inline functions exist only in the header.
echo '#include "offhook.h"' | cc -x c -std=c99 -Iinclude -E -P - | grep -v 'static inline' |
  grep -oE '\boh_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >target/header/declared
failed=0
foreign=$(grep -v '^oh_' target/header/exported || true)
[ -z "$foreign" ] || { echo "check-header: exported, but not oh_*:" $foreign >&2; failed=1; }
undeclared=$(comm -23 target/header/exported target/header/declared | grep '^oh_' || true)
[ -z "$undeclared" ] || { echo "check-header: exported, but not in $header:" $undeclared >&2; failed=1; }
unexported=$(comm -13 target/header/exported target/header/declared)
[ -z "$unexported" ] || { echo "check-header: in $header, but not exported:" $unexported >&2; failed=1; }
[ -s target/header/declared ] || { echo "check-header: $header declares no function" >&2; failed=1; }
[ "$failed" = 0 ] || exit 1
echo "ok $(wc -l <target/header/declared) functions, the same in header and library; nothing else is exported"
# Fault injection is only in the build of the unit tests (src/inject.rs).
if grep -qa 'planted fault' "$lib"; then
  echo "check-header: $lib holds the faults of the tests" >&2
  exit 1
fi
# The library needs one crypto library. A second one means that features of another crate were linked in.
if nm "$lib" 2>/dev/null | grep -q aws_lc; then
  echo "check-header: $lib holds AWS-LC, which only the SFU uses: build the library by itself (make build)" >&2
  exit 1
fi
