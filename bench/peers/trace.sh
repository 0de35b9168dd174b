#!/usr/bin/env bash
# Builds cpu-release, makes the peers' environment (3 GB, once) and runs trace.py in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/build.sh cpu-release
venv=$(scripts/python_venv.sh peers bench/peers/requirements.txt)
exec "$venv/bin/python" bench/peers/trace.py "$@"
