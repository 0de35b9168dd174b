// The metadata of a GGUF file, by the names that ggml gives them: LLaMA (Mistral is one) and Qwen2.
#include "host/core/require.h"
#include "host/model/description.h"
#include "host/model/rotary.h"

namespace lexiscope {

namespace {

std::size_t measure(const GgufFile& file, const std::string& key) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 31;
  const std::uint64_t value = file.count(key);
  if (value == 0 || value > kMost)
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, needs 1 to {}", file.path(), key, value, kMost);
  return value;
}

std::size_t measure_or(const GgufFile& file, const std::string& key, std::size_t otherwise) {
  return file.has(key) ? measure(file, key) : otherwise;
}

double positive(const GgufFile& file, const std::string& key) {
  const double value = file.number(key);
  if (!(value > 0)) fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, needs a positive number", file.path(), key, value);
  return value;
}

void describe_rotary(const GgufFile& file, const std::string& arch, const Checkpoint& checkpoint,
                     ModelDescription& model) {
  const double base = file.has(arch + "rope.freq_base") ? positive(file, arch + "rope.freq_base") : 10000;
  const std::size_t dimensions = measure_or(file, arch + "rope.dimension_count", model.config.head_dim);
  RotaryConfig rotary{.dimensions = dimensions, .frequencies = rotary_frequencies(dimensions, base)};
  // Files of the architecture "llama" hold query and key rows in the paper's order.
  rotary.layout = model.config.model_type == "llama" ? RotaryLayout::interleaved : RotaryLayout::halves;
  const std::string scaling = arch + "rope.scaling.type";
  const std::string kind = file.has(scaling) ? file.text(scaling) : "none";
  if (kind == "linear") {
    const double factor = positive(file, arch + "rope.scaling.factor");
    for (double& frequency : rotary.frequencies) frequency /= factor;
  } else if (kind != "none") {
    fail(ErrorCode::kUnsupported, "{}: \"{}\" is \"{}\"; none and linear are supported", file.path(), scaling, kind);
  }
  if (checkpoint.find("rope_freqs.weight")) {  // LLaMA 3.1's scaling, worked out
    const std::vector<float> factors = checkpoint.read("rope_freqs.weight", std::array{dimensions / 2});
    for (std::size_t i = 0; i < factors.size(); ++i) {
      if (!(factors[i] > 0))
        fail(ErrorCode::kInvalidFile, "{}: tensor \"rope_freqs.weight\" has {} at {}, needs positive factors",
             file.path(), factors[i], i);
      rotary.frequencies[i] /= factors[i];
    }
  }
  model.rotary = std::move(rotary);
}

void name_tensors(const Checkpoint& checkpoint, ModelDescription& model) {
  TensorNames& names = model.names;
  names.tokens = "token_embd.weight";
  names.final_norm = "output_norm";
  if (checkpoint.find("output.weight")) names.head = "output.weight";
  for (std::size_t layer = 0; layer < model.config.layers; ++layer) {
    const std::string at = fmt::format("blk.{}.", layer);
    names.layers.push_back({.attention_norm = at + "attn_norm",
                            .mlp_norm = at + "ffn_norm",
                            .query = at + "attn_q",
                            .key = at + "attn_k",
                            .value = at + "attn_v",
                            .query_key_value = {},
                            .attention_output = at + "attn_output",
                            .gate = at + "ffn_gate",
                            .up = at + "ffn_up",
                            .down = at + "ffn_down"});
  }
}

}  // namespace

ModelDescription describe_gguf(const GgufFile& file, const Checkpoint& checkpoint) {
  ModelDescription model;
  ModelConfig& measures = model.config;
  measures.model_type = file.text("general.architecture");
  if (measures.model_type != "llama" && measures.model_type != "qwen2")
    fail(ErrorCode::kUnsupported, "{}: \"general.architecture\" is \"{}\"; llama and qwen2 are supported", file.path(),
         measures.model_type);
  const std::string arch = measures.model_type + ".";
  if (file.has(arch + "expert_count") && file.count(arch + "expert_count") > 0)
    fail(ErrorCode::kUnsupported, "{}: \"{}expert_count\" is {}; mixtures of experts are not supported", file.path(),
         arch, file.count(arch + "expert_count"));
  measures.architecture = Architecture::llama;
  measures.layers = measure(file, arch + "block_count");
  measures.width = measure(file, arch + "embedding_length");
  measures.heads = measure(file, arch + "attention.head_count");
  measures.key_heads = measure_or(file, arch + "attention.head_count_kv", measures.heads);
  measures.head_dim =
      measure_or(file, arch + "attention.key_length", std::max<std::size_t>(measures.width / measures.heads, 1));
  measures.mlp_width = measure(file, arch + "feed_forward_length");
  measures.context = measure(file, arch + "context_length");
  if (file.has(arch + "attention.sliding_window") && file.count(arch + "attention.sliding_window") > 0)
    measures.context = std::min(measures.context, measure(file, arch + "attention.sliding_window"));
  measures.causal = measures.has_head = true;
  const CheckpointEntry* const tokens = checkpoint.find("token_embd.weight");
  measures.vocabulary = tokens && !tokens->shape.empty() ? tokens->shape[0] : measure(file, arch + "vocab_size");
  if (file.has("tokenizer.ggml.eos_token_id") && file.count("tokenizer.ggml.eos_token_id") < measures.vocabulary)
    measures.end_of_text = static_cast<std::int32_t>(file.count("tokenizer.ggml.eos_token_id"));
  model.epsilon = static_cast<float>(positive(file, arch + "attention.layer_norm_rms_epsilon"));
  model.activation = Activation::silu;
  model.attention_bias = measures.model_type == "qwen2" || checkpoint.find("blk.0.attn_q.bias");
  model.output_bias = checkpoint.find("blk.0.attn_output.bias") != nullptr;
  model.mlp_bias = checkpoint.find("blk.0.ffn_gate.bias") != nullptr;
  describe_rotary(file, arch, checkpoint, model);
  name_tensors(checkpoint, model);
  check_measures(model, file.path());
  return model;
}

}  // namespace lexiscope
