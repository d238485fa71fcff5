#!/usr/bin/env bash
# Installs the wheel without extras into a fresh environment for each Python at hand, and runs tools/smoke.py there.
# Usage: tools/matrix.sh [VERSION...]   By default 3.11 3.12 3.13; a Python that is not installed is skipped.
# On Linux, PyPI's torch wheels bring gigabytes of CUDA libraries unless pip finds a CPU wheel (--find-links).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH VIRTUAL_ENV
export HF_HUB_OFFLINE=1

# Prints the newest real interpreter of a version: one of pyenv, or one on PATH that starts.
find_python() {
  local candidate
  for candidate in $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python 2>/dev/null | sort -rV) "python$1"; do
    if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

mkdir "$work/source"
(cd "$root" && git ls-files -z --cached --others --exclude-standard pyproject.toml README.md LICENSE NOTICE sparsecbm |
  xargs -0 cp --parents -t "$work/source")

wheel=
failed=
report=
for version in ${@:-3.11 3.12 3.13}; do
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    report+="$version: not installed"$'\n'
    continue
  fi
  environment=$work/$version
  "$python" -m venv "$environment"
  if [ -z "$wheel" ]; then
    "$environment/bin/pip" wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
    wheel=$(ls "$work"/sparsecbm-*.whl)
  fi
  mkdir "$work/run-$version"
  cp "$root/dvc.yaml" "$root/params.yaml" "$work/run-$version"
  echo "== Python $version: installing"
  if "$environment/bin/pip" install --quiet --no-compile --constraint "$root/constraints.txt" "$wheel" &&
    (cd "$work/run-$version" && "$environment/bin/python" -I "$root/tools/smoke.py"); then
    report+="$version: passed"$'\n'
  else
    report+="$version: FAILED"$'\n'
    failed=1
  fi
  rm -rf "$environment"
done
printf '\n%s' "$report"
[ -z "$failed" ]
