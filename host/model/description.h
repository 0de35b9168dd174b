// Everything that a model's files say about its computation: the public measures and what the forward pass needs
// besides.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/io/checkpoint.h"
#include "lexiscope/model.h"
#include "lexiscope/ops/linear.h"
#include "lexiscope/ops/rotary_embedding.h"

namespace lexiscope {

/// How rotary positions turn the queries and keys of one model.
struct RotaryConfig {
  std::size_t dimensions = 0;         ///< d_r, the turning elements of a head
  std::vector<double> frequencies{};  ///< [d_r / 2] radians a token, scaling included
  double magnitude = 1;               ///< factor of cosine and sine (YaRN)
  RotaryLayout layout = RotaryLayout::halves;
};

/// The names of one layer's tensors; empty where the architecture has none.
struct LayerNames {
  std::string attention_norm, mlp_norm;            ///< without ".weight"
  std::string query, key, value, query_key_value;  ///< apart or in one
  std::string attention_output, gate, up, down;
};

/// Where a checkpoint keeps what.
struct TensorNames {
  std::string tokens, positions, token_types;  ///< tables of embeddings; ".weight" included
  std::string embedding_norm, final_norm;
  std::string head;                                  ///< "" where it is the token table
  std::string head_transform, head_norm, head_bias;  ///< BERT's masked-language-model head
  std::vector<LayerNames> layers;
};

struct ModelDescription {
  ModelConfig config{};
  float epsilon = 0;  ///< of every norm
  Activation activation = Activation::none;
  std::size_t token_types = 0;
  std::optional<RotaryConfig> rotary{};
  bool attention_bias = false;  ///< on query, key and value
  bool output_bias = false;     ///< on the attention's output
  bool mlp_bias = false;
  bool transposed = false;  ///< GPT-2's Conv1D: weights are [in, out]
  TensorNames names{};

  bool post_norm() const noexcept { return config.architecture == Architecture::bert; }
  bool rms_norm() const noexcept { return config.architecture == Architecture::llama; }
};

/// From config.json in `folder`, with the tensors of its checkpoint. Throws as read_model_config() does.
ModelDescription describe_hugging_face(const std::filesystem::path& folder, const Checkpoint& checkpoint);

/// From the metadata of a GGUF file. Throws as read_model_config() does.
ModelDescription describe_gguf(const GgufFile& file, const Checkpoint& checkpoint);

/// Either, by what `model` is.
ModelDescription describe_model(const std::filesystem::path& model, const Checkpoint& checkpoint);

/// Throws Error{kInvalidFile} for measures that fit no model: a 0, heads that do not divide, an odd rotary size.
/// `where` names the file.
void check_measures(const ModelDescription& description, const std::string& where);

}  // namespace lexiscope
