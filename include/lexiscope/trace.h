// The second job: what a model does to the tokens of a text, layer by layer, into a run directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lexiscope/model.h"
#include "lexiscope/tokenizer.h"

namespace lexiscope {

/// A text as the model gets it.
struct TraceText {
  std::vector<Token> tokens{};  ///< offsets are 0 where only ids are known
  std::string text{};           ///< what the offsets point into; may be empty
};

struct TraceMaps {
  bool pooled = false;  ///< attention_pooled and attention_pooled_maximum [L, H, P, P], one text alone
  bool topk = false;    ///< attention_topk_index and _weight
  bool full = false;    ///< attention [L, H, T, T], one text alone
};

struct TraceOptions {
  enum class Existing : std::uint8_t { refuse, overwrite };

  std::filesystem::path out{};  ///< the run directory
  Existing existing = Existing::refuse;
  std::vector<std::string> command{};  ///< the command line, for the manifest
  TraceMaps maps{};
  std::size_t pool = 64;   ///< P: cells a side; a text with fewer tokens has as many as tokens
  std::size_t top_k = 10;  ///< of attention rows and of the next token
  std::optional<std::pair<std::size_t, std::size_t>> layers{};  ///< first and last layer with arrays, from 0
  bool lens = false;                                            ///< certainty at every layer
  std::size_t generate = 0;                                     ///< tokens to continue the text with; one text alone
  double temperature = 0;                                       ///< 0: greedy
  std::uint64_t seed = 0;                                       ///< of the sampling
  std::size_t batch_tokens = 4096;  ///< texts go through the model together up to so many tokens
  double load_seconds = 0;          ///< spent on the model before, for the record
  std::function<void(std::string_view stage, std::size_t units)> on_stage{};  ///< may be empty
};

/// A text's tokens with how surprising each was.
struct TracedToken {
  std::int32_t id = 0;
  std::string token{};             ///< as the vocabulary spells it
  std::size_t begin = 0, end = 0;  ///< its bytes of the text
  /// log p(token | the text before it), nats; none for the first of a text. Of a model that sees both ways: log p(token
  /// | the whole text, this token too).
  std::optional<double> log_prob{};
  std::optional<std::size_t> rank{};  ///< 1: the model's first choice
};

struct GeneratedToken {
  std::int32_t id = 0;
  std::string text{};
  double log_prob = 0, entropy = 0;  ///< nats
  std::size_t rank = 0;
};

/// Means over the tokens (and heads) of all texts, one entry a layer traced.
struct LayerSummary {
  std::size_t layer = 0;
  double drift = 0, drift_relative = 0, drift_cosine = 0;
  double attention_entropy = 0;  ///< nats
  double attention_update = 0, mlp_update = 0;
  std::optional<double> lens_entropy{}, lens_log_prob{};  ///< with `lens`
};

struct TraceSummary {
  std::filesystem::path path{};
  ModelConfig model{};
  std::size_t texts = 0, tokens = 0;
  std::vector<TracedToken> first_text{};
  std::vector<LayerSummary> layers{};
  std::optional<double> log_prob{};    ///< of all the texts, nats
  std::optional<double> perplexity{};  ///< exp(-mean log-probability of the predicted tokens); of a causal model
  std::vector<GeneratedToken> generated{};
  std::vector<std::pair<std::string, double>> seconds{};  ///< by stage, in order; "total" last
  std::uint64_t peak_bytes = 0;
};

/// Runs the model over the texts and writes the run directory (docs/formats.md names every array). Memory does not
/// grow with the number of texts beyond their ids, nor as T^2.
///
/// Throws before anything is written: Error{kInvalidArgument} for an option that does not suit the model or the texts
/// (no text, an empty text, one too long, layers beyond the model's, a top_k of 0 or more than V, several texts with a
/// full or pooled map or to generate, an `out` that exists). Later: Error{kInputOutput} and Error{kCancelled}.
TraceSummary trace(Engine& engine, Model& model, const Tokenizer* tokenizer, const std::vector<TraceText>& texts,
                   const TraceOptions& options, const Control* control = nullptr);

}  // namespace lexiscope
