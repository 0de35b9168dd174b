// The checks that need the model, the texts and the options together, before anything is written.
#include "host/analysis/trace_options.h"

#include <algorithm>
#include <cmath>

#include "host/core/require.h"

namespace lexiscope {
namespace {

const char* name_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::bert:
      return "bert";
    case Architecture::gpt2:
      return "gpt2";
    case Architecture::llama:
      break;
  }
  return "llama";
}

void check_text(const ModelConfig& model, const TraceText& text, std::size_t number, std::size_t texts) {
  const std::string name = texts == 1 ? "the text" : fmt::format("text {}", number);
  require(!text.tokens.empty(), "{} is empty: it has no tokens", name);
  require(text.tokens.size() <= model.context, "{} has {} tokens, the model's context holds {}", name,
          text.tokens.size(), model.context);
  for (std::size_t i = 0; i < text.tokens.size(); ++i) {
    const std::int32_t id = text.tokens[i].id;
    require(id >= 0 && static_cast<std::size_t>(id) < model.vocabulary,
            "token {} of {} has the id {}, the model's are 0 to {}", i, name, id, model.vocabulary - 1);
  }
}

void check_layers(const ModelConfig& model, const TraceOptions& options) {
  if (!options.layers) return;
  const auto [first, last] = *options.layers;
  require(first <= last, "layers is {}-{}, the first needs to be no later than the last", first, last);
  require(last < model.layers, "layers is {}-{}, the model's are 0 to {}", first, last, model.layers - 1);
}

void check_one_text(const TraceOptions& options, std::size_t texts) {
  if (texts == 1) return;
  require(!options.maps.full, "maps full is of one text alone, there are {}", texts);
  require(!options.maps.pooled, "maps pooled is of one text alone, there are {}", texts);
  require(options.generate == 0, "generate continues one text alone, there are {}", texts);
}

void check_generate(const ModelConfig& model, const TraceSizes& sizes, const TraceOptions& options) {
  require(std::isfinite(options.temperature) && options.temperature >= 0,
          "temperature is {}, needs to be 0 (greedy) or positive and finite", options.temperature);
  require(options.temperature == 0 || options.generate > 0, "temperature is {}, but no tokens are to be generated",
          options.temperature);
  if (options.generate == 0) return;
  require(model.causal, "generate is {}, but a model of type {} does not continue texts", options.generate,
          model.model_type);
  require(model.has_head, "generate is {}, but the model has no head that predicts tokens", options.generate);
  require(sizes.last_layer + 1 == model.layers,
          "generate is {}, but it needs the model's last layer, {}; layers ends with {}", options.generate,
          model.layers - 1, sizes.last_layer);
  require(options.generate <= model.context - sizes.rows,
          "generate is {}, but after a text of {} tokens the model's context of {} holds {} more", options.generate,
          sizes.rows, model.context, model.context - sizes.rows);
}

void plan_batches(TraceSizes& sizes, std::size_t batch_tokens) {
  for (std::size_t text = 0; text < sizes.texts(); ++text) {
    const std::size_t begin = sizes.offsets[text], tokens = sizes.offsets[text + 1] - begin;
    if (sizes.batches.empty() || sizes.batches.back().rows + tokens > batch_tokens)
      sizes.batches.push_back({.first = text, .last = text, .row = begin});
    sizes.batches.back().last = text + 1;
    sizes.batches.back().rows += tokens;
  }
}

}  // namespace

std::size_t TraceSizes::batch_rows() const noexcept {
  std::size_t most = 0;
  for (const TraceBatch& batch : batches) most = std::max(most, batch.rows);
  return most;
}

TraceSizes check_trace(const ModelConfig& model, const std::vector<TraceText>& texts, const TraceOptions& options) {
  require(!options.out.empty(), "out: no run directory is given");
  require(!texts.empty(), "there is no text");
  TraceSizes sizes;
  for (std::size_t text = 0; text < texts.size(); ++text) {
    check_text(model, texts[text], text, texts.size());
    sizes.offsets.push_back(sizes.rows += texts[text].tokens.size());
    sizes.longest = std::max(sizes.longest, texts[text].tokens.size());
  }
  check_layers(model, options);
  sizes.first_layer = options.layers ? options.layers->first : 0;
  sizes.last_layer = options.layers ? options.layers->second : model.layers - 1;
  check_one_text(options, texts.size());
  require(options.pool > 0, "pool is 0, needs at least 1");
  require(options.top_k > 0 && options.top_k <= model.vocabulary, "top-k is {}, needs 1 to {}, the vocabulary's size",
          options.top_k, model.vocabulary);
  require(options.batch_tokens > 0, "batch_tokens is 0, needs at least 1");
  require(!options.lens || model.has_head, "lens needs a model that predicts tokens; this one has no head for it");
  check_generate(model, sizes, options);
  const bool to_the_end = sizes.last_layer + 1 == model.layers;
  sizes.cells = std::min(options.pool, sizes.longest);
  sizes.peaks = std::min(options.top_k, sizes.longest);
  sizes.final_norm = to_the_end && model.architecture != Architecture::bert;
  sizes.certainty = to_the_end && model.has_head;
  plan_batches(sizes, options.batch_tokens);
  return sizes;
}

nlohmann::json trace_parameters(const TraceSizes& sizes, const TraceOptions& options) {
  nlohmann::json maps{"stats"};
  if (options.maps.pooled) maps.push_back("pooled");
  if (options.maps.topk) maps.push_back("topk");
  if (options.maps.full) maps.push_back("full");
  nlohmann::json parameters{
      {"maps", std::move(maps)}, {"top_k", options.top_k},       {"layers", {sizes.first_layer, sizes.last_layer}},
      {"lens", options.lens},    {"generate", options.generate}, {"batch_tokens", options.batch_tokens}};
  if (options.maps.pooled) parameters["pool"] = sizes.cells;
  if (options.generate > 0) parameters["temperature"] = options.temperature;
  return parameters;
}

nlohmann::json model_description(const ModelConfig& model) {
  return {{"architecture", name_of(model.architecture)},
          {"model_type", model.model_type},
          {"layers", model.layers},
          {"width", model.width},
          {"heads", model.heads},
          {"key_heads", model.key_heads},
          {"head_dim", model.head_dim},
          {"mlp_width", model.mlp_width},
          {"vocabulary", model.vocabulary},
          {"context", model.context},
          {"causal", model.causal}};
}

}  // namespace lexiscope
