// One row of logits at a time, read on the host in double: a vocabulary is small beside what made it.
#include "host/analysis/trace_generate.h"

#include <algorithm>
#include <cmath>

#include "host/analysis/random_uniform.h"
#include "host/core/control.h"

namespace lexiscope {
namespace {

/// The text that each new token adds. Tokens may hold parts of a character: its text comes with the last of them.
class Continuation {
 public:
  Continuation(const Tokenizer* tokenizer, std::int32_t last_id) : tokenizer_(tokenizer) {
    if (has(last_id)) ids_.push_back(last_id);
    told_ = ids_.size();
  }

  std::string add(std::int32_t id, bool last) {
    if (!has(id)) return {};
    ids_.push_back(id);
    const std::span<const std::int32_t> window = std::span(ids_).subspan(window_);
    const std::string before = tokenizer_->decode(window.first(told_ - window_)), now = tokenizer_->decode(window);
    constexpr std::string_view kReplacement = "\xef\xbf\xbd";
    if ((now.ends_with(kReplacement) && !last) || now.size() <= before.size()) return {};
    window_ = told_;
    told_ = ids_.size();
    return now.substr(before.size());
  }

 private:
  /// A model's vocabulary may be padded beyond the tokenizer's.
  bool has(std::int32_t id) const { return tokenizer_ && static_cast<std::size_t>(id) < tokenizer_->vocabulary_size(); }

  const Tokenizer* tokenizer_;
  std::vector<std::int32_t> ids_;
  std::size_t window_ = 0, told_ = 0;  ///< decoding begins at window_; the text of the ids before told_ was given
};

/// log of the sum of exp(value / temperature), less the largest: what a softmax divides by.
double log_sum(std::span<const float> logits, double largest, double temperature) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp((logit - largest) / temperature);
  return std::log(sum);
}

std::size_t draw(std::span<const float> logits, double largest, double temperature, UniformGenerator& random) {
  const double log_total = log_sum(logits, largest, temperature), wanted = random.next();
  double sum = 0;
  std::size_t possible = 0;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    const double share = std::exp((logits[id] - largest) / temperature - log_total);
    if (share > 0) possible = id;
    if ((sum += share) >= wanted) return id;
  }
  return possible;  // the shares' rounding left the sum just short of 1
}

GeneratedToken choose(std::span<const float> logits, double temperature, UniformGenerator& random) {
  const auto likeliest = std::ranges::max_element(logits);
  const double largest = *likeliest, log_total = log_sum(logits, largest, 1);
  const std::size_t id = temperature > 0 ? draw(logits, largest, temperature, random)
                                         : static_cast<std::size_t>(likeliest - logits.begin());
  GeneratedToken token{.id = static_cast<std::int32_t>(id), .log_prob = logits[id] - largest - log_total, .rank = 1};
  for (const float logit : logits) {
    const double log_prob = logit - largest - log_total;
    token.entropy -= std::exp(log_prob) * log_prob;
    if (logit > logits[id]) ++token.rank;
  }
  return token;
}

}  // namespace

std::vector<GeneratedToken> generate_tokens(const TraceContext& context, const Tokenizer* tokenizer,
                                            std::int32_t last_id, MatrixView<const float> state, KeyValueCache& cache) {
  const StageSeconds::Running running(context.seconds, "generate");
  const ModelConfig& model = context.model.config();
  const Tensor logits = context.engine.allocate(DType::f32, {1, model.vocabulary});
  UniformGenerator random(context.options.seed);
  Continuation continuation(tokenizer, last_id);
  ForwardObserver nothing;
  std::vector<GeneratedToken> tokens;
  const std::size_t wanted = context.options.generate;
  while (tokens.size() < wanted) {
    check_stop(context.control);
    context.model.logits(state, logits.matrix<float>());
    const HostView host(context.engine, logits);
    GeneratedToken token = choose({host.data<float>(), model.vocabulary}, context.options.temperature, random);
    const bool last = tokens.size() + 1 == wanted || token.id == model.end_of_text;
    token.text = continuation.add(token.id, last);
    tokens.push_back(std::move(token));
    report(context.control, static_cast<double>(tokens.size()) / static_cast<double>(wanted));
    if (last) break;
    TokenBatch next;
    next.add({&tokens.back().id, 1});
    const Control stop_only{.stop = context.control ? context.control->stop : std::stop_token{}, .progress = {}};
    state = context.model.forward(next, nothing, &cache, &stop_only);
  }
  return tokens;
}

}  // namespace lexiscope
