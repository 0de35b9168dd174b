#!/usr/bin/env bash
# The jobs on real models: installs what is missing, builds, fetches all-MiniLM-L6-v2 and SmolLM2-135M-Instruct, takes the
# 30,522 token embeddings of the first through PCA, exact neighbours and t-SNE into runs/minilm, with a picture of the map,
# and traces a sentence through both, into runs/minilm-trace and runs/smollm2-trace.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install.sh
scripts/build.sh cpu-release
venv=$(scripts/python_venv.sh)
model=$(scripts/fetch_minilm.sh)
language_model=$(scripts/fetch_smollm2.sh)

build/cpu-release/lexiscope project "$model" --out runs/minilm --overwrite
"$venv/bin/python" scripts/plot_map.py runs/minilm --out runs/minilm-map.png

echo
build/cpu-release/lexiscope trace "$model" --text "The river bank was muddy, so the bank sent a letter." \
  --out runs/minilm-trace --overwrite
echo
build/cpu-release/lexiscope trace "$language_model" --text "The capital of France is Paris, and the capital of Japan is" \
  --generate 4 --out runs/smollm2-trace --overwrite

echo
echo "The runs lie in $PWD/runs: minilm (its map in minilm-map.png), minilm-trace and smollm2-trace; each"
echo "manifest.json says what the arrays beside it are."
echo "Next: build/cpu-release/lexiscope neighbors $model king paris blue"
