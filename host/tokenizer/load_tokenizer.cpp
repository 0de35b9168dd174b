// The tokenizer of a model, from whichever files describe it.
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/io/json_file.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/gpt2_files.h"

namespace lexiscope {

using nlohmann::json;

namespace fs = std::filesystem;

namespace {

bool has_file(const fs::path& path) {
  std::error_code problem;
  return fs::exists(path, problem);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model) {
  if (const fs::path path = model / "tokenizer.json"; has_file(path))
    return make_tokenizer(read_json_object(path), path.string());
  if (has_file(model / "vocab.json")) return make_tokenizer(read_gpt2_files(model), (model / "vocab.json").string());
  if (has_file(model / "vocab.txt"))
    fail(ErrorCode::kUnsupported, "{}: a tokenizer from vocab.txt alone is not supported; tokenizer.json is needed",
         model.string());
  if (model.extension() == ".gguf" && has_file(model))
    fail(ErrorCode::kUnsupported, "{}: a tokenizer from GGUF metadata is not supported", model.string());
  fail(ErrorCode::kInvalidFile, "{}: there is no tokenizer.json, vocab.json or vocab.txt", model.string());
}

}  // namespace lexiscope
