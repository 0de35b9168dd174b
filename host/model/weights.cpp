#include "host/model/weights.h"

#include <array>

namespace lexiscope {

namespace {

class Loader {
 public:
  Loader(Engine& engine, const Checkpoint& checkpoint, const ModelDescription& model, DType precision)
      : engine_(engine), checkpoint_(checkpoint), model_(model), precision_(precision) {}

  Tensor vector(const std::string& name, std::size_t size) const {
    return on_engine(checkpoint_.read(name, std::array{size}));
  }

  NormWeights norm(const std::string& name) const {
    NormWeights weights;
    if (name.empty()) return weights;
    weights.gain = vector(name + ".weight", model_.config.width);
    if (!model_.rms_norm()) weights.bias = vector(name + ".bias", model_.config.width);
    return weights;
  }

  /// Rows of [out, in], whichever way round the file has them.
  std::vector<float> matrix(const std::string& name, std::size_t out, std::size_t in) const {
    if (!model_.transposed) return checkpoint_.read(name, std::array{out, in});
    const std::vector<float> stored = checkpoint_.read(name, std::array{in, out});
    std::vector<float> turned(stored.size());
    for (std::size_t row = 0; row < out; ++row)
      for (std::size_t column = 0; column < in; ++column) turned[row * in + column] = stored[column * out + row];
    return turned;
  }

  ProductWeights product(const std::string& name, std::size_t out, std::size_t in, bool bias) const {
    ProductWeights weights{.weight = pack(matrix(name + ".weight", out, in), out, in), .bias = {}};
    if (bias) weights.bias = vector(name + ".bias", out);
    return weights;
  }

  ProductWeights query_key_value(const LayerNames& names) const {
    const ModelConfig& config = model_.config;
    const std::size_t query = config.heads * config.head_dim, key = config.key_heads * config.head_dim;
    if (!names.query_key_value.empty())
      return product(names.query_key_value, query + 2 * key, config.width, model_.attention_bias);
    std::vector<float> weight, bias;
    const std::array<std::pair<const std::string&, std::size_t>, 3> parts = {
        {{names.query, query}, {names.key, key}, {names.value, key}}};
    for (const auto& [name, rows] : parts) {
      const std::vector<float> part = matrix(name + ".weight", rows, config.width);
      weight.insert(weight.end(), part.begin(), part.end());
      if (!model_.attention_bias) continue;
      const std::vector<float> part_bias = checkpoint_.read(name + ".bias", std::array{rows});
      bias.insert(bias.end(), part_bias.begin(), part_bias.end());
    }
    return {.weight = pack(weight, query + 2 * key, config.width), .bias = on_engine(bias)};
  }

  LayerWeights layer(const LayerNames& names) const {
    const ModelConfig& config = model_.config;
    LayerWeights weights{.attention_norm = norm(names.attention_norm),
                         .mlp_norm = norm(names.mlp_norm),
                         .query_key_value = query_key_value(names),
                         .attention_output = product(names.attention_output, config.width,
                                                     config.heads * config.head_dim, model_.output_bias),
                         .gate = {},
                         .up = product(names.up, config.mlp_width, config.width, model_.mlp_bias),
                         .down = product(names.down, config.width, config.mlp_width, model_.mlp_bias)};
    if (!names.gate.empty()) weights.gate = product(names.gate, config.mlp_width, config.width, model_.mlp_bias);
    return weights;
  }

  ProductWeights head(const TensorNames& names) const {
    const ModelConfig& config = model_.config;
    const std::string& name = names.head.empty() ? names.tokens : names.head;
    ProductWeights weights{.weight = pack(checkpoint_.read(name, std::array{config.vocabulary, config.width}),
                                          config.vocabulary, config.width),
                           .bias = {}};
    if (!names.head_bias.empty()) weights.bias = vector(names.head_bias, config.vocabulary);
    return weights;
  }

 private:
  Tensor on_engine(const std::vector<float>& values) const {
    if (values.empty()) return {};
    Tensor tensor = engine_.allocate(DType::f32, {values.size()});
    engine_.copy_to_engine(dense_view<const void>(values.data(), DType::f32, std::array{values.size()}), tensor);
    return tensor;
  }

  std::unique_ptr<PackedMatrix> pack(const std::vector<float>& weight, std::size_t out, std::size_t in) const {
    return engine_.pack({weight.data(), out, in, in}, precision_);
  }

  Engine& engine_;
  const Checkpoint& checkpoint_;
  const ModelDescription& model_;
  DType precision_;
};

}  // namespace

ModelWeights load_weights(Engine& engine, const Checkpoint& checkpoint, const ModelDescription& model,
                          const ModelOptions& options) {
  const Loader loader(engine, checkpoint, model, options.precision);
  const ModelConfig& config = model.config;
  const TensorNames& names = model.names;
  ModelWeights weights;
  weights.tokens = &checkpoint.require(names.tokens, std::array{config.vocabulary, config.width});
  if (!names.positions.empty())
    weights.positions = &checkpoint.require(names.positions, std::array{config.context, config.width});
  if (!names.token_types.empty())
    weights.token_types = checkpoint.read(names.token_types, std::array{model.token_types, config.width});
  weights.embedding_norm = loader.norm(names.embedding_norm);
  const std::size_t layers = options.last_layer ? *options.last_layer + 1 : config.layers;
  for (std::size_t layer = 0; layer < layers; ++layer) weights.layers.push_back(loader.layer(names.layers[layer]));
  weights.final_norm = loader.norm(names.final_norm);
  if (!config.has_head) return weights;
  if (!names.head_transform.empty()) {
    weights.head_transform = loader.product(names.head_transform, config.width, config.width, true);
    weights.head_norm = loader.norm(names.head_norm);
  }
  weights.head = loader.head(names);
  return weights;
}

}  // namespace lexiscope
