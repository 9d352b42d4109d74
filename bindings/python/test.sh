#!/usr/bin/env bash
# test.sh: builds the wheel, installs it into an environment below target/, and runs the tests of the Python binding
# beside a development SFU: scripts/with-sfu.sh bindings/python/test.sh [pytest arguments]. PYTHON chooses another Python.
# Exit code 77: something is missing here, and the line that begins with SKIPPED says what.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
python=${PYTHON:-python3}

skip() { echo "SKIPPED: test-python: $1" >&2; exit 77; }
: "${OFFHOOK_SFU_URL:?run it by scripts/with-sfu.sh}"
command -v "$python" >/dev/null || skip "there is no $python; install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || skip "$python is older than 3.9; install python3"
"$python" -c 'import venv, ensurepip' 2>/dev/null || skip "$python cannot make environments; install python3-venv"
command -v pkg-config >/dev/null || skip "there is no pkg-config; install pkg-config"

out=$root/target/python/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
venv=$out/venv
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input -q)
needs=("setuptools>=77" "cffi>=1.15" "numpy>=1.21" "pytest>=7" "mypy>=1.8" typing_extensions)
wanted="${needs[*]} $("$python" --version) $("$python" -c 'import sys; print(sys.executable)')"
if [ "$(cat "$out/installed" 2>/dev/null)" != "$wanted" ]; then
  echo "Making the Python environment in ${venv#"$root"/} (once)"
  rm -rf "$venv" "$out/installed"
  mkdir -p "$out"
  "$python" -m venv "$venv"
  if ! "${pip[@]}" install --timeout 30 --retries 3 --only-binary :all: "${needs[@]}" >"$out/pip.log" 2>&1; then
    if grep -qE 'Retrying \(Retry|NewConnectionError|NameResolutionError|Could not fetch URL|ProxyError|Connection refused' "$out/pip.log"; then
      skip "the Python package registry is unreachable, so numpy, cffi and pytest could not be installed"
    fi
    tail -n 30 "$out/pip.log" >&2
    exit 1
  fi
  printf '%s' "$wanted" >"$out/installed"
fi

# The wheel, from a copy: a build leaves nothing in the sources, and nothing of a former build gets into it.
# Two folders deep as in the sources, without them: the licences must come from where the library is installed.
rm -rf "$out/source" "$out/wheel"
copy=$out/source/bindings/python
mkdir -p "$copy"
cp -r pyproject.toml setup.py cdef.py README.md src "$copy"
cp "$root"/LICENSE-* "$out/source"
"${pip[@]}" wheel --no-deps --no-build-isolation -w "$out/wheel" "$copy"
wheel=$(echo "$out"/wheel/*.whl)
case $wheel in
  */offhook-*-py3-none-linux_*.whl) ;;
  *) echo "test-python: the wheel is called $(basename "$wheel")" >&2; exit 1 ;;
esac
"$venv/bin/python" - "$wheel" <<'CHECK'
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
names = wheel.namelist()
licences = ("LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt")
for wanted in ("liboffhook.so.1", "_binding.py", "py.typed", "aio.py", "participants.py", *licences):
    assert f"offhook/{wanted}" in names, f"{wanted} is not in the wheel: {names}"
# Linked components: THIRD-PARTY.txt must name the well-known packages of Cargo.lock with their texts.
third = wheel.read("offhook/THIRD-PARTY.txt").decode()
for crate in ("opusic-sys", "ring", "rtc", "rustls", "tokio"):
    assert f"\n{crate} " in third, f"THIRD-PARTY.txt does not name {crate}"
assert "Xiph.Org" in third and len(third) > 50_000, "THIRD-PARTY.txt lacks texts"
CHECK
"${pip[@]}" install --no-deps --force-reinstall "$wheel"

export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -X faulthandler -m pytest -q --durations=3 "$@"
