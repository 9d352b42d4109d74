#!/usr/bin/env bash
# consumer.sh: find_package(offhook) in a separate project, in an empty directory: matching versions configure, build
# and run, with the shared and the static library, from C++ and C; others are refused. Installed twice by
# scripts/install.sh: LIBDIR as lib, and as lib/<machine>.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
complain() { echo "consumer: $*" >&2; exit 1; }

PREFIX=$work/flat STRIP=0 "$root/scripts/install.sh" >/dev/null
PREFIX=$work/multi LIBDIR=$work/multi/lib/any-machine STRIP=0 "$root/scripts/install.sh" >/dev/null
version=$(sed -n 's/^Version: //p' "$work/flat/lib/pkgconfig/offhook.pc")
series=${version%.*}

project() { # DIR REQUEST: a project that asks for REQUEST
  mkdir -p "$1"
  cat >"$1/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.16...3.25)
project(consumer C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(offhook $2 REQUIRED CONFIG)
add_executable(shared main.cpp)
target_link_libraries(shared PRIVATE offhook::offhook)
add_executable(static main.cpp)
target_link_libraries(static PRIVATE offhook::static)
add_executable(plain main.c)
target_link_libraries(plain PRIVATE offhook::offhook)
CMAKE
  cat >"$1/main.cpp" <<'CPP'
#include <offhook/offhook.hpp>
#include <cstdio>
int main()
{
    offhook::client_options where;
    where.url = "http://127.0.0.1:1";
    where.user_id = "ann";
    where.token = "x";
    auto client = offhook::client::create(where).value();
    std::printf("offhook %s\n", std::string(offhook::version()).c_str());
}
CPP
  cat >"$1/main.c" <<'C'
#include <offhook.h>
#include <stdio.h>
int main(void)
{
    printf("offhook %s\n", oh_get_version());
    return oh_get_abi_version() != OH_ABI_VERSION;
}
C
}

for layout in flat multi; do
  project "$work/use-$layout" "$series"
  cmake -S "$work/use-$layout" -B "$work/use-$layout/build" -DCMAKE_PREFIX_PATH="$work/$layout" \
    $([ "$layout" = multi ] && echo -Doffhook_DIR="$work/multi/lib/any-machine/cmake/offhook") >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; complain "$layout: does not configure"; }
  cmake --build "$work/use-$layout/build" >"$work/log" 2>&1 || { cat "$work/log" >&2; complain "$layout: does not build"; }
  for program in shared static plain; do
    printed=$(env -u LD_LIBRARY_PATH "$work/use-$layout/build/$program")
    [ "$printed" = "offhook $version" ] || complain "$layout: $program prints '$printed', not 'offhook $version'"
  done
  readelf -d "$work/use-$layout/build/shared" | grep -q 'NEEDED.*liboffhook\.so\.1\]' || complain "$layout: the SONAME is not what is needed"
  if readelf -d "$work/use-$layout/build/static" | grep -q liboffhook; then complain "$layout: static needs the shared library"; fi
done

asks() { # REQUEST: whether a project that requests it configures (no compiler check: LANGUAGES NONE)
  rm -rf "$work/ask" && mkdir -p "$work/ask"
  printf 'cmake_minimum_required(VERSION 3.16...3.25)\nproject(ask NONE)\nfind_package(offhook %s REQUIRED CONFIG)\n' "$1" >"$work/ask/CMakeLists.txt"
  cmake -S "$work/ask" -B "$work/ask/build" -DCMAKE_PREFIX_PATH="$work/flat" >"$work/log" 2>&1
}
major=${version%%.*} minor=${series#*.}
for right in "" "$major" "$series" "$version" "$version EXACT" "$series...<$((major + 1))"; do
  asks "$right" || { cat "$work/log" >&2; complain "version '$right' is refused, although $version is installed"; }
done
for wrong in "$major.$((minor + 1))" "$((major + 1))" "$((major + 1)).0" "$version.1" "$series.999" "0.0.1" "$((major + 1))...<$((major + 3))"; do
  if asks "$wrong"; then complain "version '$wrong' is taken, although $version is installed"; fi
  grep -q "version: $version" "$work/log" || { cat "$work/log" >&2; complain "'$wrong': the installed version is not reported"; }
done
rm "$work"/flat/lib/liboffhook.so.*.*
if asks ""; then complain "a package without its library is taken"; fi
grep -q "is missing" "$work/log" || complain "the missing library is not reported"
echo "ok consumer: find_package, shared, static and C, two layouts; right versions are taken and wrong ones refused"
