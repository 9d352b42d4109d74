#!/usr/bin/env bash
# install.sh: copies the C++ headers and the CMake package beside an installed library. scripts/install.sh may call it.
# Environment as there: DESTDIR (staging root), PREFIX (/usr/local), LIBDIR (PREFIX/lib).
set -euo pipefail
cd "$(dirname "$0")"
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
root=${DESTDIR:-}
# -C: what is the same keeps its time, so that programs are not built anew.
install -d "$root$prefix/include/offhook/detail" "$root$libdir/cmake/offhook"
install -C -m 644 include/offhook/*.hpp "$root$prefix/include/offhook/"
install -C -m 644 include/offhook/detail/*.hpp "$root$prefix/include/offhook/detail/"
install -C -m 644 cmake/offhookConfig.cmake cmake/offhookConfigVersion.cmake "$root$libdir/cmake/offhook/"
