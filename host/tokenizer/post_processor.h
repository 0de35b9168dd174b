// The last stage of encoding: adds a model's special tokens, trims offsets.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lexiscope/tokenizer.h"

namespace lexiscope {

struct SpelledToken {
  Token token;
  std::string_view spelling;  ///< the vocabulary's; of an added token the text that it took
};

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  /// `text` is the user's; special tokens are added where `special` says so.
  virtual void process(std::vector<SpelledToken>& tokens, std::string_view text, bool special) const = 0;
  /// The ids of tokens that it adds, for the check that the vocabulary has them.
  virtual void append_ids(std::vector<std::int32_t>& ids) const = 0;
};

std::unique_ptr<PostProcessor> make_post_processor(const nlohmann::json& spec, const std::string& where);

}  // namespace lexiscope
