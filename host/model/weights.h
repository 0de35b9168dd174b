// A model's weights on an engine: products packed once, norms and biases in the engine's memory, tables of embeddings
// left in the file and read row by row.
#pragma once

#include <memory>
#include <vector>

#include "host/io/checkpoint.h"
#include "host/model/description.h"
#include "lexiscope/engine.h"
#include "lexiscope/model.h"

namespace lexiscope {

struct NormWeights {
  Tensor gain, bias;  ///< [d]; RMSNorm has no bias
};

struct ProductWeights {
  std::unique_ptr<PackedMatrix> weight;  ///< [out, in]
  Tensor bias;                           ///< [out], or empty
};

struct LayerWeights {
  NormWeights attention_norm, mlp_norm;  ///< pre-LN: before the step; post-LN: after it
  ProductWeights query_key_value;        ///< [(H + 2 H_kv) d_k, d]: the rows of query, key, value
  ProductWeights attention_output;       ///< [d, H d_k]
  ProductWeights gate, up, down;         ///< [m, d], [m, d], [d, m]; the gate for SwiGLU alone
};

struct ModelWeights {
  const CheckpointEntry* tokens = nullptr;     ///< [V, d], in the checkpoint
  const CheckpointEntry* positions = nullptr;  ///< [context, d], or null
  std::vector<float> token_types{};            ///< [types, d], or empty
  NormWeights embedding_norm{}, final_norm{};  ///< of post-LN and pre-LN models
  std::vector<LayerWeights> layers{};          ///< up to the last that is wanted
  ProductWeights head_transform{};             ///< BERT's
  NormWeights head_norm{};                     ///< BERT's
  ProductWeights head{};                       ///< [V, d]; no weight where there is no head
};

/// Throws as load_model() does.
ModelWeights load_weights(Engine& engine, const Checkpoint& checkpoint, const ModelDescription& model,
                          const ModelOptions& options);

}  // namespace lexiscope
