// A real transformer on an engine: its weights packed once, its forward pass layer by layer, and what each layer shows
// on the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lexiscope/control.h"
#include "lexiscope/engine.h"

namespace lexiscope {

enum class Architecture : std::uint8_t {
  bert,  ///< post-LN: Z' = LN(Z + Attn(Z)), Z'' = LN(Z' + MLP(Z')); attends both ways
  gpt2,  ///< pre-LN: Z' = Z + Attn(LN(Z)), Z'' = Z' + MLP(LN(Z')); causal
  llama  ///< as gpt2, with RMSNorm, rotary positions, SwiGLU and grouped-query heads; Mistral and Qwen2 too
};

/// A model's measures, from config.json or a GGUF file's metadata.
struct ModelConfig {
  Architecture architecture = Architecture::bert;
  std::string model_type{};    ///< as the file says: "bert", "gpt2", "llama", "mistral", "qwen2"
  std::size_t layers = 0;      ///< L
  std::size_t width = 0;       ///< d
  std::size_t heads = 0;       ///< H
  std::size_t key_heads = 0;   ///< H_kv
  std::size_t head_dim = 0;    ///< d_k
  std::size_t mlp_width = 0;   ///< m
  std::size_t vocabulary = 0;  ///< V
  std::size_t context = 0;     ///< the longest text
  bool causal = false;
  bool has_head = false;                      ///< whether it predicts tokens (a BERT without the MLM head does not)
  std::optional<std::int32_t> end_of_text{};  ///< the id that ends a generated text
};

struct ModelOptions {
  DType precision = DType::f32;             ///< of weights and products: f32 or bf16
  std::optional<std::size_t> last_layer{};  ///< forward() ends after it; later layers' weights are not read
  bool head = true;                         ///< false: leave the head's weights alone; then has_head is false
};

/// Texts one after another: the rows of all that follows. text b is ids[offsets[b], offsets[b + 1]).
struct TokenBatch {
  std::vector<std::int32_t> ids{};          ///< [R]
  std::vector<std::size_t> offsets{0};      ///< [B + 1], from 0 to R
  std::vector<std::int32_t> token_types{};  ///< [R] for BERT, or empty for all 0

  std::size_t rows() const noexcept { return ids.size(); }
  std::size_t texts() const noexcept { return offsets.size() - 1; }
  void add(std::span<const std::int32_t> text) {
    ids.insert(ids.end(), text.begin(), text.end());
    offsets.push_back(ids.size());
  }
};

/// What one layer did, in the engine's memory and valid during the call alone. Rows are the batch's; a text's map is
/// that of its rows of query and key (after the rotary embedding), with the model's scale and mask.
struct LayerView {
  std::size_t layer = 0;            ///< from 0
  MatrixView<const float> state{};  ///< [R, d] Z(layer + 1)
  ConstTensorView query{}, key{};   ///< [H, R, d_k], [H_kv, R, d_k]; f32, or bf16 in that precision
  float scale = 0;
  AttentionMask mask = AttentionMask::none;
  MatrixView<const float> log_sum_exp{}, entropy{}, maximum{};        ///< [H, R], as AttentionStatistics
  MatrixView<const std::int32_t> argmax{};                            ///< [H, R] counted within the text
  VectorView<const float> drift{}, drift_relative{}, drift_cosine{};  ///< [R] from Z(layer) to Z(layer + 1)
  VectorView<const float> attention_update{}, mlp_update{};  ///< [R] norms of Attn and MLP, before any norm follows
  VectorView<const float> attention_step{}, mlp_step{};      ///< [R] |Z' - Z| and |Z'' - Z'|; pre-LN: the same as above
};

/// Receives what the forward pass shows, in order. The base class wants nothing.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  virtual void on_embedding(MatrixView<const float> state) { (void)state; }  ///< [R, d] Z(0)
  /// Whether `on_layer` is to be called for that layer: statistics and drift are computed for such layers alone.
  virtual bool wants_layer(std::size_t layer) const { return (void)layer, false; }
  /// What to read off a text's attention map: outputs alone, without inputs. Asked for layers that are wanted; what is
  /// there when `on_map` is called may be overwritten by the next text's.
  virtual AttentionMapArgs wanted_map(std::size_t layer, std::size_t text) const {
    return (void)layer, (void)text, AttentionMapArgs{};
  }
  virtual void on_map(std::size_t layer, std::size_t text) { (void)layer, (void)text; }
  virtual void on_layer(const LayerView& layer) { (void)layer; }
};

/// The keys and values of a text so far, for continuing it token by token.
class KeyValueCache {
 public:
  virtual ~KeyValueCache() = default;
  virtual std::size_t tokens() const noexcept = 0;
  virtual std::size_t capacity() const noexcept = 0;
};

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const noexcept = 0;
  virtual const std::filesystem::path& path() const noexcept = 0;
  /// The stored weights' files and their types, for manifests: "F32", "Q4_1".
  virtual const std::vector<std::string>& files() const noexcept = 0;
  virtual const std::string& stored_dtype() const noexcept = 0;  ///< that of most of the weights

  /// Z(0) to Z(L) of every text, attention staying within each; L is ModelOptions::last_layer + 1 where given. Returns
  /// Z(L) [R, d], before any final norm, in the engine's memory; valid until the next call. With a cache the batch is
  /// one text that continues the cached one.
  ///
  /// Throws Error{kInvalidArgument} for an empty text, one longer than the context (naming both), an id or token type
  /// beyond the model's, or a cache that is full or not this model's; Error{kCancelled}.
  virtual MatrixView<const float> forward(const TokenBatch& batch, ForwardObserver& observer,
                                          KeyValueCache* cache = nullptr, const Control* control = nullptr) = 0;

  /// `to` [R, d] = the model's final norm of `state` (of a post-LN model: the state itself). May be in place.
  virtual void final_norm(MatrixView<const float> state, MatrixView<float> to) = 0;

  /// Fills x, head and bias of `wanted` and runs it: the head's distribution for states Z(l) [R, d], through the final
  /// norm (BERT: through the MLM head's transform). Throws Error{kUnsupported} where config().has_head is false.
  virtual void certainty(MatrixView<const float> state, CertaintyArgs wanted) = 0;
  /// [R, V] the logits of those states, whole: for a few rows.
  virtual void logits(MatrixView<const float> state, MatrixView<float> to) = 0;

  /// Throws Error{kUnsupported} for a model that is not causal, Error{kInvalidArgument} for more tokens than the
  /// context.
  virtual std::unique_ptr<KeyValueCache> make_cache(std::size_t tokens) = 0;
};

/// The configuration of a Hugging Face folder or a .gguf. Throws Error{kInvalidFile} naming file, field and value;
/// Error{kUnsupported} naming an architecture or a field's value that there is no code for.
ModelConfig read_model_config(const std::filesystem::path& model);

/// Opens the model and packs its weights on the engine, which must outlive it. Throws as read_model_config() does, and
/// Error{kInvalidFile} for a weight that is missing or misshapen, naming it and the shape it needs.
std::unique_ptr<Model> load_model(Engine& engine, const std::filesystem::path& model, const ModelOptions& options = {});

}  // namespace lexiscope
