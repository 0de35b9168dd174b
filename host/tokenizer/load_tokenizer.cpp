// The tokenizer of a model, from whichever files describe it.
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/io/json_file.h"
#include "host/tokenizer/bert_files.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/gguf_tokenizer.h"
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
  if (has_file(model / "vocab.txt")) return make_tokenizer(read_bert_files(model), (model / "vocab.txt").string());
  if (model.extension() == ".gguf") return make_tokenizer(describe_gguf_tokenizer(GgufFile(model)), model.string());
  fail(ErrorCode::kInvalidFile, "{}: there is no tokenizer.json, vocab.json or vocab.txt", model.string());
}

}  // namespace lexiscope
