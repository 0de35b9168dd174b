// docs/formats.md describes these arrays for readers of a run; the meanings here are what the manifest says.
#include "host/analysis/trace_arrays.h"

#include "host/core/require.h"

namespace lexiscope {
namespace {

using Names = std::vector<std::string>;

class Plan {
 public:
  Plan(const ModelConfig& model, const TraceSizes& sizes, const TraceOptions& options)
      : model_(model), sizes_(sizes), options_(options) {}

  std::vector<RegionArray> arrays() {
    add_tokens();
    add_states();
    add_attention();
    add_maps();
    if (sizes_.certainty) add_certainty(certainty_prefix(model_), "", false);
    if (options_.lens) add_certainty("lens", ", from the state after each layer", true);
    return std::move(arrays_);
  }

 private:
  void add(std::string name, DType dtype, std::vector<std::size_t> shape, Names axes, std::string meaning,
           std::string unit) {
    arrays_.push_back(
        {std::move(name), dtype, std::move(shape), {std::move(axes), std::move(meaning), std::move(unit)}});
  }

  void add_tokens() {
    add("token_ids", DType::i32, {sizes_.rows}, {"token"}, "the texts' tokens, one text after another", "id");
    if (sizes_.texts() > 1)
      add("text_offsets", DType::i64, {sizes_.texts() + 1}, {"text"},
          "where each text's tokens begin, and where the last ends", "token");
  }

  void add_states() {
    const std::size_t n = sizes_.layers(), r = sizes_.rows, d = model_.width;
    add("hidden_states", DType::f32, {n + 1, r, d}, {"state", "token", "width"},
        "each token's state: what the first layer here gets, then what each layer gives, before any final norm",
        "state");
    if (sizes_.final_norm)
      add("final_norm", DType::f32, {r, d}, {"token", "width"}, "the last state after the model's final norm", "state");
    const auto per_token = [&](std::string name, std::string meaning, std::string unit) {
      add(std::move(name), DType::f32, {n, r}, {"layer", "token"}, std::move(meaning), std::move(unit));
    };
    per_token("drift", "how far the layer moves the token: |after - before|", "state");
    per_token("drift_relative", "|after - before| / |before|", "1");
    per_token("drift_cosine", "cosine of the states before and after the layer", "1");
    per_token("attention_update", "norm of what attention computes, before any norm follows", "state");
    per_token("mlp_update", "norm of what the MLP computes, before any norm follows", "state");
    per_token("attention_step", "how far the attention half of the layer moves the token", "state");
    per_token("mlp_step", "how far the MLP half of the layer moves the token", "state");
  }

  void add_attention() {
    const std::size_t n = sizes_.layers(), h = model_.heads, r = sizes_.rows;
    const Names axes{"layer", "head", "token"};
    add("attention_entropy", DType::f32, {n, h, r}, axes, "entropy of the token's row of the attention map", "nats");
    add("attention_lse", DType::f32, {n, h, r}, axes, "log of the sum of exp(scores) of the token's row", "nats");
    add("attention_maximum", DType::f32, {n, h, r}, axes, "largest score of the token's row", "nats");
    add("attention_argmax", DType::i32, {n, h, r}, axes, "where the largest score is", "token of the text");
    add("attention_received", DType::f32, {n, h, r}, axes,
        "sum of the weights with which the text's tokens attend to this one", "rows");
    add("attention_by_distance", DType::f32, {n, h, sizes_.longest}, {"layer", "head", "distance"},
        "weight that a token gives to those so many tokens away, mean over the tokens", "1");
  }

  void add_maps() {
    const std::size_t n = sizes_.layers(), h = model_.heads, r = sizes_.rows, p = sizes_.cells, k = sizes_.peaks;
    if (options_.maps.topk) {
      const Names axes{"layer", "head", "token", "peak"};
      add("attention_topk_index", DType::i32, {n, h, r, k}, axes,
          "which tokens this one attends to most, the most first; -1 past those it sees", "token of the text");
      add("attention_topk_weight", DType::f32, {n, h, r, k}, axes, "the weights of those tokens", "1");
    }
    if (options_.maps.pooled) {
      const Names axes{"layer", "head", "query cell", "key cell"};
      add("attention_pooled", DType::f32, {n, h, p, p}, axes, "mean weight in each cell of the attention map", "1");
      add("attention_pooled_maximum", DType::f32, {n, h, p, p}, axes, "largest weight in each cell", "1");
    }
    if (options_.maps.full)
      add("attention", DType::f32, {n, h, r, r}, {"layer", "head", "query", "key"}, "the attention map", "1");
  }

  void add_certainty(const std::string& prefix, const std::string& where, bool lens) {
    const bool causal = model_.causal;
    const std::string what = causal ? "the text's next token" : "the token, which the model sees";
    const auto shape = [&](std::vector<std::size_t> inner) {
      if (lens) inner.insert(inner.begin(), sizes_.layers());
      return inner;
    };
    const auto axes = [&](Names inner) {
      if (lens) inner.insert(inner.begin(), "layer");
      return inner;
    };
    const std::size_t p = predicted_tokens(model_, sizes_), r = sizes_.rows, k = options_.top_k;
    const char* predicted = causal ? "predicted token" : "token";
    add(prefix + "_log_prob", DType::f32, shape({p}), axes({predicted}), "log-probability of " + what + where, "nats");
    add(prefix + "_rank", DType::i32, shape({p}), axes({predicted}),
        "1 + the number of tokens held likelier than " + what + where, "rank");
    add(prefix + "_entropy", DType::f32, shape({r}), axes({"token"}), "entropy of the distribution over tokens" + where,
        "nats");
    add(prefix + "_topk_id", DType::i32, shape({r, k}), axes({"token", "choice"}), "the likeliest tokens" + where,
        "id");
    add(prefix + "_topk_log_prob", DType::f32, shape({r, k}), axes({"token", "choice"}),
        "their log-probabilities" + where, "nats");
  }

  const ModelConfig& model_;
  const TraceSizes& sizes_;
  const TraceOptions& options_;
  std::vector<RegionArray> arrays_;
};

}  // namespace

std::vector<RegionArray> trace_arrays(const ModelConfig& model, const TraceSizes& sizes, const TraceOptions& options) {
  return Plan(model, sizes, options).arrays();
}

}  // namespace lexiscope
