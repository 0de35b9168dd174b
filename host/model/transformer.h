// The forward pass, written once on an engine's operations: post-LN (BERT) and pre-LN (GPT-2, LLaMA) layers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/io/checkpoint.h"
#include "host/model/description.h"
#include "host/model/rotary.h"
#include "host/model/weights.h"
#include "lexiscope/engine.h"
#include "lexiscope/model.h"

namespace lexiscope {

class Transformer final : public Model {
 public:
  Transformer(Engine& engine, std::filesystem::path path, std::unique_ptr<Checkpoint> checkpoint,
              ModelDescription description, const ModelOptions& options);

  const ModelConfig& config() const noexcept override { return description_.config; }
  const std::filesystem::path& path() const noexcept override { return path_; }
  const std::vector<std::string>& files() const noexcept override { return files_; }
  const std::string& stored_dtype() const noexcept override { return stored_dtype_; }

  MatrixView<const float> forward(const TokenBatch& batch, ForwardObserver& observer, KeyValueCache* cache,
                                  const Control* control) override;
  void final_norm(MatrixView<const float> state, MatrixView<float> to) override;
  void certainty(MatrixView<const float> state, CertaintyArgs wanted) override;
  void logits(MatrixView<const float> state, MatrixView<float> to) override;
  std::unique_ptr<KeyValueCache> make_cache(std::size_t tokens) override;

 private:
  class Cache;
  struct Buffers;
  struct Pass;

  void check(const TokenBatch& batch, const Cache* cache) const;
  void embed(const TokenBatch& batch, std::size_t past, MatrixView<float> state);
  void set_positions(const TokenBatch& batch, std::size_t past);
  void run_layer(std::size_t layer, Pass& pass);
  void project(const LayerWeights& weights, MatrixView<const float> x, Pass& pass);
  void attend(std::size_t layer, Pass& pass, bool observed);
  void run_mlp(const LayerWeights& weights, MatrixView<const float> x, MatrixView<const float> residual,
               MatrixView<float> y);
  void norm(const NormWeights& weights, MatrixView<const float> x, MatrixView<float> y);
  void show(std::size_t layer, Pass& pass);
  void head_input(MatrixView<const float> state, MatrixView<float> to);
  void require_head(const char* operation) const;

  std::size_t query_columns() const noexcept { return config().heads * config().head_dim; }
  std::size_t key_columns() const noexcept { return config().key_heads * config().head_dim; }
  DType attention_dtype() const noexcept { return precision_; }

  Engine& engine_;
  std::filesystem::path path_;
  std::unique_ptr<Checkpoint> checkpoint_;
  ModelDescription description_;
  DType precision_;
  ModelWeights weights_;
  std::optional<RotaryAngles> rotary_;
  std::vector<std::string> files_;
  std::string stored_dtype_;
  std::shared_ptr<Buffers> buffers_;
};

}  // namespace lexiscope
