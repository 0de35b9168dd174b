// config.json of a Hugging Face folder: BERT, GPT-2 and the LLaMA family. A field that changes the computation in a way
// there is no code for is an error, never ignored.
#include "host/core/require.h"
#include "host/io/json_file.h"
#include "host/model/description.h"
#include "host/model/json_config.h"
#include "host/model/rotary.h"

namespace lexiscope {

using nlohmann::json;

namespace {

Activation gelu_named(const JsonConfig& config, const char* key, std::string_view otherwise) {
  const std::string name = config.text_or(key, otherwise);
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  fail(ErrorCode::kUnsupported, "{}: \"{}\" is \"{}\"; gelu, gelu_new and gelu_pytorch_tanh are supported",
       config.where(), key, name);
}

// Checkpoints of a bare model leave out the prefix that those with a head have.
std::string prefix_of(const Checkpoint& checkpoint, std::string_view prefix, std::string_view table) {
  const std::string whole = std::string(prefix) + std::string(table);
  return checkpoint.find(whole) ? std::string(prefix) : std::string();
}

std::optional<std::int32_t> end_of_text(const json& object, const std::string& where) {
  const auto at = object.find("eos_token_id");
  if (at == object.end() || at->is_null()) return std::nullopt;
  const json& id = at->is_array() && !at->empty() ? at->front() : *at;
  if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > INT32_MAX)
    fail(ErrorCode::kInvalidFile, "{}: \"eos_token_id\" is {}, needs a token id", where, value_text(*at));
  return id.get<std::int32_t>();
}

void describe_bert(const JsonConfig& config, const Checkpoint& checkpoint, ModelDescription& model) {
  ModelConfig& measures = model.config;
  measures.architecture = Architecture::bert;
  measures.layers = config.count("num_hidden_layers");
  measures.width = config.count("hidden_size");
  measures.heads = measures.key_heads = config.count("num_attention_heads");
  measures.head_dim = measures.width / measures.heads;
  measures.mlp_width = config.count("intermediate_size");
  measures.vocabulary = config.count("vocab_size");
  measures.context = config.count("max_position_embeddings");
  config.require_only("position_embedding_type", "absolute");
  config.require_only("is_decoder", false);
  config.require_only("add_cross_attention", false);
  model.epsilon = static_cast<float>(config.positive_or("layer_norm_eps", 1e-12));
  model.activation = gelu_named(config, "hidden_act", "gelu");
  model.token_types = config.count_or("type_vocab_size", 2);
  model.attention_bias = model.output_bias = model.mlp_bias = true;

  const std::string base = prefix_of(checkpoint, "bert.", "embeddings.word_embeddings.weight");
  TensorNames& names = model.names;
  names.tokens = base + "embeddings.word_embeddings.weight";
  names.positions = base + "embeddings.position_embeddings.weight";
  names.token_types = base + "embeddings.token_type_embeddings.weight";
  names.embedding_norm = base + "embeddings.LayerNorm";
  measures.has_head = checkpoint.find("cls.predictions.transform.dense.weight") != nullptr;
  if (measures.has_head) {
    names.head_transform = "cls.predictions.transform.dense";
    names.head_norm = "cls.predictions.transform.LayerNorm";
    names.head_bias = "cls.predictions.bias";
    if (!config.flag_or("tie_word_embeddings", true)) names.head = "cls.predictions.decoder.weight";
  }
  for (std::size_t layer = 0; layer < measures.layers; ++layer) {
    const std::string at = fmt::format("{}encoder.layer.{}.", base, layer);
    names.layers.push_back({.attention_norm = at + "attention.output.LayerNorm",
                            .mlp_norm = at + "output.LayerNorm",
                            .query = at + "attention.self.query",
                            .key = at + "attention.self.key",
                            .value = at + "attention.self.value",
                            .query_key_value = {},
                            .attention_output = at + "attention.output.dense",
                            .gate = {},
                            .up = at + "intermediate.dense",
                            .down = at + "output.dense"});
  }
}

void describe_gpt2(const JsonConfig& config, const Checkpoint& checkpoint, ModelDescription& model) {
  ModelConfig& measures = model.config;
  measures.architecture = Architecture::gpt2;
  measures.layers = config.count("n_layer");
  measures.width = config.count("n_embd");
  measures.heads = measures.key_heads = config.count("n_head");
  measures.head_dim = measures.width / measures.heads;
  measures.mlp_width = config.count_or("n_inner", 4 * measures.width);
  measures.vocabulary = config.count("vocab_size");
  measures.context = config.count("n_positions");
  measures.causal = measures.has_head = true;
  config.require_only("scale_attn_weights", true);
  config.require_only("scale_attn_by_inverse_layer_idx", false);
  config.require_only("add_cross_attention", false);
  model.epsilon = static_cast<float>(config.positive_or("layer_norm_epsilon", 1e-5));
  model.activation = gelu_named(config, "activation_function", "gelu_new");
  model.attention_bias = model.output_bias = model.mlp_bias = true;
  model.transposed = true;

  const std::string base = prefix_of(checkpoint, "transformer.", "wte.weight");
  TensorNames& names = model.names;
  names.tokens = base + "wte.weight";
  names.positions = base + "wpe.weight";
  names.final_norm = base + "ln_f";
  if (!config.flag_or("tie_word_embeddings", true)) names.head = "lm_head.weight";
  for (std::size_t layer = 0; layer < measures.layers; ++layer) {
    const std::string at = fmt::format("{}h.{}.", base, layer);
    names.layers.push_back({.attention_norm = at + "ln_1",
                            .mlp_norm = at + "ln_2",
                            .query = {},
                            .key = {},
                            .value = {},
                            .query_key_value = at + "attn.c_attn",
                            .attention_output = at + "attn.c_proj",
                            .gate = {},
                            .up = at + "mlp.c_fc",
                            .down = at + "mlp.c_proj"});
  }
}

void describe_rotary(const JsonConfig& config, const json& object, ModelDescription& model) {
  const bool nested = config.has("rope_parameters");  // transformers 5 keeps base and scaling in one object
  const JsonConfig parameters(nested ? config.object("rope_parameters") : object,
                              config.where() + (nested ? ": \"rope_parameters\"" : ""));
  const double base = parameters.positive_or("rope_theta", config.positive_or("rope_theta", 10000));
  config.require_only("partial_rotary_factor", 1.0);
  parameters.require_only("partial_rotary_factor", 1.0);
  const std::size_t dimensions = model.config.head_dim;
  model.rotary = RotaryConfig{.dimensions = dimensions, .frequencies = rotary_frequencies(dimensions, base)};
  for (const char* key : {"rope_parameters", "rope_scaling"})
    if (config.has(key))
      scale_rotary(*model.rotary, config.object(key), base, model.config.context,
                   fmt::format("{}: \"{}\"", config.where(), key));
}

// Texts longer than the window would see less than this forward pass shows them.
void limit_to_window(const JsonConfig& config, ModelConfig& measures) {
  const bool windowed = measures.model_type == "mistral" || config.flag_or("use_sliding_window", false);
  if (windowed && config.has("sliding_window"))
    measures.context = std::min(measures.context, config.count("sliding_window"));
}

void describe_llama(const JsonConfig& config, const json& object, const Checkpoint& checkpoint,
                    ModelDescription& model) {
  ModelConfig& measures = model.config;
  measures.architecture = Architecture::llama;
  measures.layers = config.count("num_hidden_layers");
  measures.width = config.count("hidden_size");
  measures.heads = config.count("num_attention_heads");
  measures.key_heads = config.count_or("num_key_value_heads", measures.heads);
  measures.head_dim = config.count_or("head_dim", std::max<std::size_t>(measures.width / measures.heads, 1));
  measures.mlp_width = config.count("intermediate_size");
  measures.vocabulary = config.count("vocab_size");
  measures.context = config.count("max_position_embeddings");
  measures.causal = measures.has_head = true;
  config.require_only("hidden_act", "silu");
  model.epsilon = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  model.activation = Activation::silu;
  const bool qwen = measures.model_type == "qwen2", llama = measures.model_type == "llama";
  model.attention_bias = qwen || (llama && config.flag_or("attention_bias", false));
  model.output_bias = llama && model.attention_bias;
  model.mlp_bias = llama && config.flag_or("mlp_bias", false);
  describe_rotary(config, object, model);
  limit_to_window(config, measures);

  const std::string base = prefix_of(checkpoint, "model.", "embed_tokens.weight");
  TensorNames& names = model.names;
  names.tokens = base + "embed_tokens.weight";
  names.final_norm = base + "norm";
  if (!config.flag_or("tie_word_embeddings", false)) names.head = "lm_head.weight";
  for (std::size_t layer = 0; layer < measures.layers; ++layer) {
    const std::string at = fmt::format("{}layers.{}.", base, layer);
    names.layers.push_back({.attention_norm = at + "input_layernorm",
                            .mlp_norm = at + "post_attention_layernorm",
                            .query = at + "self_attn.q_proj",
                            .key = at + "self_attn.k_proj",
                            .value = at + "self_attn.v_proj",
                            .query_key_value = {},
                            .attention_output = at + "self_attn.o_proj",
                            .gate = at + "mlp.gate_proj",
                            .up = at + "mlp.up_proj",
                            .down = at + "mlp.down_proj"});
  }
}

}  // namespace

ModelDescription describe_hugging_face(const std::filesystem::path& folder, const Checkpoint& checkpoint) {
  const std::filesystem::path file = folder / "config.json";
  const json object = read_json_object(file);
  const JsonConfig config(object, file.string());
  ModelDescription model;
  const std::string& kind = model.config.model_type = config.text("model_type");
  if (kind == "bert")
    describe_bert(config, checkpoint, model);
  else if (kind == "gpt2")
    describe_gpt2(config, checkpoint, model);
  else if (kind == "llama" || kind == "mistral" || kind == "qwen2")
    describe_llama(config, object, checkpoint, model);
  else
    fail(ErrorCode::kUnsupported, "{}: \"model_type\" is \"{}\"; bert, gpt2, llama, mistral and qwen2 are supported",
         config.where(), kind);
  if (model.config.causal) model.config.end_of_text = end_of_text(object, config.where());
  check_measures(model, config.where());
  return model;
}

}  // namespace lexiscope
