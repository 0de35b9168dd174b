#!/usr/bin/env bash
# The main job on a real vocabulary: installs what is missing, builds, fetches all-MiniLM-L6-v2 and takes its 30,522
# token embeddings through PCA, exact neighbours and t-SNE into runs/minilm, with a picture of the map.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install.sh
scripts/build.sh cpu-release
venv=$(scripts/python_venv.sh)
model=$(scripts/fetch_minilm.sh)

build/cpu-release/lexiscope project "$model" --out runs/minilm --overwrite
"$venv/bin/python" scripts/plot_map.py runs/minilm --out runs/minilm/map.png

echo
echo "The run lies in $PWD/runs/minilm (manifest.json says what each array is), its map in runs/minilm/map.png."
echo "Next: build/cpu-release/lexiscope neighbors $model king paris blue"
