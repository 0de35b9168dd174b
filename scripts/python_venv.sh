#!/usr/bin/env bash
# Makes a virtual environment with pinned packages inside .cache, once for each version of the list, and prints its
# folder (relative to the checkout).
#   scripts/python_venv.sh [NAME REQUIREMENTS]    .cache/venv and scripts/requirements.txt by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.cache/${1:-venv}
requirements=${2:-scripts/requirements.txt}
if ! cmp --silent "$requirements" "$venv/installed.txt"; then
  echo "installing the Python packages of $requirements into $venv" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip --quiet --disable-pip-version-check install --requirement "$requirements" >&2
  cp "$requirements" "$venv/installed.txt"
fi
echo "$venv"
