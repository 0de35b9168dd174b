// The choice of a model by its type; old files leave it out, and the fields tell.
#include <nlohmann/json.hpp>

#include "host/io/json_file.h"
#include "host/tokenizer/bpe.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/unigram.h"
#include "host/tokenizer/word_piece.h"

namespace lexiscope {

using nlohmann::json;

namespace {

std::string type_of(const json& spec, const std::string& where) {
  if (spec.contains("type")) return string_field(spec, "type", where);
  return spec.contains("merges") ? "BPE" : spec.contains("max_input_chars_per_word") ? "WordPiece" : "Unigram";
}

}  // namespace

std::unique_ptr<TokenModel> make_token_model(const json& spec, const std::string& where) {
  const std::string type = type_of(spec, where);
  if (type == "BPE") return make_bpe(spec, where);
  if (type == "WordPiece") return make_word_piece(spec, where);
  if (type == "Unigram") return make_unigram(spec, where);
  fail_unsupported(json{{"type", type}}, "type", where);
}

}  // namespace lexiscope
