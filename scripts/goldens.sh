#!/usr/bin/env bash
# Makes tests/data again with scripts/goldens.py in an environment of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$(scripts/python_venv.sh goldens scripts/requirements-goldens.txt)
exec "$venv/bin/python" scripts/goldens.py
