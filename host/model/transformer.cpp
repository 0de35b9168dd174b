#include "host/model/transformer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "host/core/control.h"
#include "host/core/require.h"
#include "host/model/buffers.h"

namespace lexiscope {

namespace {

/// A view of the heads that lie side by side in the rows of `matrix`, from `column` on: [heads, rows, head_dim].
template <typename Void>
BasicTensorView<Void> heads_of(BasicTensorView<Void> matrix, std::size_t column, std::size_t heads,
                               std::size_t head_dim, std::size_t first, std::size_t rows) {
  using Byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
  const std::size_t offset = (first * matrix.strides[0] + column) * size_of(matrix.dtype);
  return {.data = static_cast<Byte*>(matrix.data) + offset,
          .dtype = matrix.dtype,
          .rank = 3,
          .shape = {heads, rows, head_dim},
          .strides = {head_dim, matrix.strides[0], 1}};
}

/// Columns [column, column + count) of rows [first, first + rows) of a matrix.
template <typename Void>
BasicTensorView<Void> part_of(BasicTensorView<Void> matrix, std::size_t first, std::size_t rows, std::size_t column,
                              std::size_t count) {
  BasicTensorView<Void> part = heads_of(matrix, column, 1, count, first, rows);
  part.rank = 2;
  part.shape = {rows, count};
  part.strides = {matrix.strides[0], 1};
  return part;
}

template <typename Element>
MatrixView<Element> columns_of(MatrixView<Element> matrix, std::size_t first, std::size_t count) {
  return {matrix.data + first, matrix.rows, count, matrix.stride};
}

VectorView<const float> vector_of(const Tensor& tensor) {
  return tensor.empty() ? VectorView<const float>{} : VectorView<const float>(tensor.vector<float>());
}

}  // namespace

class Transformer::Cache final : public KeyValueCache {
 public:
  Cache(const Transformer& model, std::size_t capacity) : model_(&model), capacity_(capacity) {
    for (std::size_t layer = 0; layer < model.weights_.layers.size(); ++layer)
      layers_.push_back(model.engine_.allocate(model.attention_dtype(), {capacity, 2 * model.key_columns()}));
  }

  std::size_t tokens() const noexcept override { return tokens_; }
  std::size_t capacity() const noexcept override { return capacity_; }
  const Transformer* model() const noexcept { return model_; }
  /// [capacity, 2 H_kv d_k]: a token's keys, then its values.
  TensorView layer(std::size_t index) const { return layers_[index].view(); }
  void add(std::size_t tokens) { tokens_ += tokens; }

 private:
  const Transformer* model_;
  std::size_t capacity_, tokens_ = 0;
  std::vector<Tensor> layers_;
};

struct Transformer::Buffers {
  Buffers(Engine& engine, const ModelConfig& config, std::size_t projections, std::size_t rotary_pairs, DType attention)
      : state(engine, DType::f32, config.width),
        middle(engine, DType::f32, config.width),
        next(engine, DType::f32, config.width),
        normed(engine, DType::f32, config.width),
        projected(engine, DType::f32, projections),
        rounded(engine, attention, projections),
        context(engine, DType::f32, config.heads * config.head_dim),
        cosine(engine, DType::f32, rotary_pairs),
        sine(engine, DType::f32, rotary_pairs),
        log_sum_exp(engine, DType::f32, config.heads),
        entropy(engine, DType::f32, config.heads),
        maximum(engine, DType::f32, config.heads),
        argmax(engine, DType::i32, config.heads),
        drift(engine, DType::f32, 1),
        drift_relative(engine, DType::f32, 1),
        drift_cosine(engine, DType::f32, 1),
        attention_update(engine, DType::f32, 1),
        attention_step(engine, DType::f32, 1),
        mlp_update(engine, DType::f32, 1),
        mlp_step(engine, DType::f32, 1) {}

  RowBuffer state, middle, next, normed;  ///< Z(l), Z', Z(l + 1); a product's normed input
  RowBuffer projected, rounded, context;  ///< query, key and value; the same in bf16; the heads' outputs
  RowBuffer cosine, sine;
  RowBuffer log_sum_exp, entropy, maximum, argmax;
  RowBuffer drift, drift_relative, drift_cosine, attention_update, attention_step, mlp_update, mlp_step;
};

/// What one call of forward() carries from layer to layer.
struct Transformer::Pass {
  const TokenBatch& batch;
  ForwardObserver& observer;
  Cache* cache;
  const Control* control;
  Buffers& buffers;
  std::size_t rows = batch.rows(), past = cache ? cache->tokens() : 0;
  LayerView view{};

  MatrixView<float> of_heads(RowBuffer& buffer, std::size_t heads) const {
    return {buffer.rows(rows).data, heads, rows, rows};
  }
  MatrixView<std::int32_t> positions_of_heads(RowBuffer& buffer, std::size_t heads) const {
    return {static_cast<std::int32_t*>(buffer.view(rows).data), heads, rows, rows};
  }
  VectorView<float> of_rows(RowBuffer& buffer) const { return {buffer.rows(rows).data, rows}; }
};

Transformer::Transformer(Engine& engine, std::filesystem::path path, std::unique_ptr<Checkpoint> checkpoint,
                         ModelDescription description, const ModelOptions& options)
    : engine_(engine),
      path_(std::move(path)),
      checkpoint_(std::move(checkpoint)),
      description_(std::move(description)),
      precision_(options.precision),
      weights_(load_weights(engine, *checkpoint_, description_, options)) {
  if (description_.rotary) rotary_.emplace(*description_.rotary);
  const std::size_t pairs = rotary_ ? rotary_->pairs() : 1;
  buffers_ = std::make_shared<Buffers>(engine, config(), query_columns() + 2 * key_columns(), pairs, precision_);
  std::set<std::string> files;
  std::map<std::string, std::size_t> elements;
  for (const CheckpointEntry& entry : checkpoint_->entries()) {
    files.insert(checkpoint_->path_of(entry));
    std::size_t count = 1;
    for (const std::size_t size : entry.shape) count *= size;
    elements[entry.stored_dtype] += count;
  }
  files_.assign(files.begin(), files.end());
  stored_dtype_ = std::ranges::max_element(elements, {}, [](const auto& kind) { return kind.second; })->first;
}

void Transformer::check(const TokenBatch& batch, const Cache* cache) const {
  const ModelConfig& model = config();
  require(batch.texts() > 0, "forward: the batch holds no text");
  require(batch.offsets.front() == 0 && batch.offsets.back() == batch.rows() && std::ranges::is_sorted(batch.offsets),
          "forward: offsets must rise from 0 to {}, the number of ids", batch.rows());
  require(batch.token_types.empty() || batch.token_types.size() == batch.rows(),
          "forward: token_types has {} elements, needs {}", batch.token_types.size(), batch.rows());
  for (std::size_t text = 0; text < batch.texts(); ++text) {
    const std::size_t tokens = batch.offsets[text + 1] - batch.offsets[text];
    require(tokens > 0, "forward: text {} is empty", text);
    const std::size_t past = cache ? cache->tokens() : 0;
    require(past + tokens <= model.context, "forward: text {} has {} tokens, the model's context holds {}", text,
            past + tokens, model.context);
    for (std::size_t row = batch.offsets[text]; row < batch.offsets[text + 1]; ++row) {
      const std::int32_t id = batch.ids[row];
      require(id >= 0 && static_cast<std::size_t>(id) < model.vocabulary,
              "forward: token {} of text {} has the id {}, the vocabulary holds 0 to {}", row - batch.offsets[text],
              text, id, model.vocabulary - 1);
    }
  }
  for (const std::int32_t type : batch.token_types)
    require(type >= 0 && static_cast<std::size_t>(type) < std::max<std::size_t>(description_.token_types, 1),
            "forward: a token type is {}, the model has {}", type, description_.token_types);
  if (!cache) return;
  require(cache->model() == this, "forward: the cache was made for another model");
  require(batch.texts() == 1, "forward: a cache continues one text, the batch holds {}", batch.texts());
  require(cache->tokens() + batch.rows() <= cache->capacity(),
          "forward: the cache holds {} of {} tokens, {} more do not fit", cache->tokens(), cache->capacity(),
          batch.rows());
}

void Transformer::embed(const TokenBatch& batch, std::size_t past, MatrixView<float> state) {
  const std::size_t width = config().width;
  std::vector<float> sums(batch.rows() * width), position(width);
  for (std::size_t text = 0; text < batch.texts(); ++text)
    for (std::size_t row = batch.offsets[text]; row < batch.offsets[text + 1]; ++row) {
      float* const sum = sums.data() + row * width;
      checkpoint_->read_rows(*weights_.tokens, static_cast<std::size_t>(batch.ids[row]), {sum, 1, width, width});
      if (weights_.positions) {
        const std::size_t at = past + row - batch.offsets[text];
        checkpoint_->read_rows(*weights_.positions, at, {position.data(), 1, width, width});
        for (std::size_t i = 0; i < width; ++i) sum[i] += position[i];
      }
      if (weights_.token_types.empty()) continue;
      const auto type = batch.token_types.empty() ? 0 : static_cast<std::size_t>(batch.token_types[row]);
      for (std::size_t i = 0; i < width; ++i) sum[i] += weights_.token_types[type * width + i];
    }
  engine_.copy_to_engine(dense_view<const void>(sums.data(), DType::f32, std::array{batch.rows(), width}),
                         part_of(buffers_->state.view(batch.rows()), 0, batch.rows(), 0, width));
  if (!weights_.embedding_norm.gain.empty()) norm(weights_.embedding_norm, state, state);
}

void Transformer::set_positions(const TokenBatch& batch, std::size_t past) {
  if (!rotary_) return;
  std::vector<std::size_t> positions;
  positions.reserve(batch.rows());
  for (std::size_t text = 0; text < batch.texts(); ++text)
    for (std::size_t row = batch.offsets[text]; row < batch.offsets[text + 1]; ++row)
      positions.push_back(past + row - batch.offsets[text]);
  const RotaryTables& tables = rotary_->rows(positions);
  const std::array shape{batch.rows(), rotary_->pairs()};
  engine_.copy_to_engine(dense_view<const void>(tables.cosine.data(), DType::f32, shape),
                         buffers_->cosine.view(batch.rows()));
  engine_.copy_to_engine(dense_view<const void>(tables.sine.data(), DType::f32, shape),
                         buffers_->sine.view(batch.rows()));
}

MatrixView<const float> Transformer::forward(const TokenBatch& batch, ForwardObserver& observer, KeyValueCache* cache,
                                             const Control* control) {
  auto* const own_cache = dynamic_cast<Cache*>(cache);
  require(!cache || own_cache, "forward: the cache was made for another model");
  check(batch, own_cache);
  Pass pass{.batch = batch, .observer = observer, .cache = own_cache, .control = control, .buffers = *buffers_};
  const MatrixView<float> embedded = buffers_->state.rows(pass.rows);
  embed(batch, pass.past, embedded);
  set_positions(batch, pass.past);
  observer.on_embedding(embedded);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    run_layer(layer, pass);
    std::swap(buffers_->state, buffers_->next);
    report(control, static_cast<double>(layer + 1) / static_cast<double>(weights_.layers.size()));
  }
  if (own_cache) own_cache->add(pass.rows);
  return buffers_->state.rows(pass.rows);
}

void Transformer::run_layer(std::size_t index, Pass& pass) {
  check_stop(pass.control);
  const LayerWeights& weights = weights_.layers[index];
  Buffers& buffers = pass.buffers;
  const bool observed = pass.observer.wants_layer(index), post_norm = description_.post_norm();
  const MatrixView<float> state = buffers.state.rows(pass.rows), middle = buffers.middle.rows(pass.rows),
                          next = buffers.next.rows(pass.rows), normed = buffers.normed.rows(pass.rows);
  if (!post_norm) norm(weights.attention_norm, state, normed);
  project(weights, post_norm ? state : normed, pass);
  attend(index, pass, observed);
  engine_.linear({.x = buffers.context.rows(pass.rows),
                  .weight = weights.attention_output.weight.get(),
                  .bias = vector_of(weights.attention_output.bias),
                  .residual = state,
                  .y = middle});
  if (observed) engine_.drift({.before = state, .after = middle, .norm = pass.of_rows(buffers.attention_update)});
  if (post_norm) {
    norm(weights.attention_norm, middle, middle);
    if (observed) engine_.drift({.before = state, .after = middle, .norm = pass.of_rows(buffers.attention_step)});
  }
  check_stop(pass.control);
  if (!post_norm) norm(weights.mlp_norm, middle, normed);
  run_mlp(weights, post_norm ? middle : normed, middle, next);
  if (observed) engine_.drift({.before = middle, .after = next, .norm = pass.of_rows(buffers.mlp_update)});
  if (post_norm) {
    norm(weights.mlp_norm, next, next);
    if (observed) engine_.drift({.before = middle, .after = next, .norm = pass.of_rows(buffers.mlp_step)});
  }
  if (observed) show(index, pass);
}

void Transformer::project(const LayerWeights& weights, MatrixView<const float> x, Pass& pass) {
  const MatrixView<float> projected = pass.buffers.projected.rows(pass.rows);
  engine_.linear({.x = x,
                  .weight = weights.query_key_value.weight.get(),
                  .bias = vector_of(weights.query_key_value.bias),
                  .y = projected});
  if (rotary_)
    engine_.rotary_embedding({.x = columns_of(projected, 0, query_columns() + key_columns()),
                              .heads = config().heads + config().key_heads,
                              .cosine = pass.buffers.cosine.rows(pass.rows),
                              .sine = pass.buffers.sine.rows(pass.rows),
                              .layout = rotary_->layout()});
}

void Transformer::attend(std::size_t layer, Pass& pass, bool observed) {
  const ModelConfig& model = config();
  Buffers& buffers = pass.buffers;
  const std::size_t rows = pass.rows, head_dim = model.head_dim;
  ConstTensorView projected = buffers.projected.view(rows);
  if (precision_ != DType::f32) {
    engine_.convert({.from = projected, .to = buffers.rounded.view(rows)});
    projected = buffers.rounded.view(rows);
  }
  ConstTensorView keys = projected;  // where keys and values lie, and the column they start at
  std::size_t key_column = query_columns(), seen = rows;
  if (pass.cache) {
    const TensorView cached = pass.cache->layer(layer);
    // From the product, in f32: convert() rounds to bf16 and copies f32, and has no copy of bf16.
    engine_.convert({.from = part_of(buffers.projected.view(rows), 0, rows, key_column, 2 * key_columns()),
                     .to = part_of(cached, pass.past, rows, 0, 2 * key_columns())});
    keys = cached;
    key_column = 0;
    seen = pass.past + rows;
  }

  const TensorView context = buffers.context.view(rows);
  LayerView& view = pass.view;
  view.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
  view.mask = model.causal ? AttentionMask::causal : AttentionMask::none;
  view.query = heads_of(projected, 0, model.heads, head_dim, 0, rows);
  view.key = heads_of(keys, key_column, model.key_heads, head_dim, 0, seen);
  AttentionStatistics all{};
  if (observed)
    all = {.log_sum_exp = pass.of_heads(buffers.log_sum_exp, model.heads),
           .entropy = pass.of_heads(buffers.entropy, model.heads),
           .maximum = pass.of_heads(buffers.maximum, model.heads),
           .argmax = pass.positions_of_heads(buffers.argmax, model.heads)};
  for (std::size_t text = 0; text < pass.batch.texts(); ++text) {
    const std::size_t first = pass.batch.offsets[text], tokens = pass.batch.offsets[text + 1] - first,
                      first_key = pass.cache ? 0 : first, text_keys = pass.cache ? seen : tokens;
    AttentionStatistics statistics{};
    if (observed)
      statistics = {.log_sum_exp = columns_of(all.log_sum_exp, first, tokens),
                    .entropy = columns_of(all.entropy, first, tokens),
                    .maximum = columns_of(all.maximum, first, tokens),
                    .argmax = columns_of(all.argmax, first, tokens)};
    const AttentionArgs args{
        .query = heads_of(projected, 0, model.heads, head_dim, first, tokens),
        .key = heads_of(keys, key_column, model.key_heads, head_dim, first_key, text_keys),
        .value = heads_of(keys, key_column + key_columns(), model.key_heads, head_dim, first_key, text_keys),
        .out = heads_of(context, 0, model.heads, head_dim, first, tokens),
        .scale = view.scale,
        .mask = view.mask,
        .statistics = statistics};
    AttentionMapArgs map{};
    if (observed) map = pass.observer.wanted_map(layer, text);
    if (!map.wanted()) {
      engine_.attention(args);
      continue;
    }
    map.query = args.query;
    map.key = args.key;
    map.scale = args.scale;
    map.mask = args.mask;
    map.log_sum_exp = statistics.log_sum_exp;
    engine_.attention_with_map(args, map);
    pass.observer.on_map(layer, text);
  }
  view.log_sum_exp = all.log_sum_exp;
  view.entropy = all.entropy;
  view.maximum = all.maximum;
  view.argmax = all.argmax;
}

void Transformer::run_mlp(const LayerWeights& weights, MatrixView<const float> x, MatrixView<const float> residual,
                          MatrixView<float> y) {
  if (weights.gate.weight)
    engine_.swiglu_mlp({.x = x,
                        .gate = weights.gate.weight.get(),
                        .gate_bias = vector_of(weights.gate.bias),
                        .up = weights.up.weight.get(),
                        .up_bias = vector_of(weights.up.bias),
                        .down = weights.down.weight.get(),
                        .down_bias = vector_of(weights.down.bias),
                        .residual = residual,
                        .y = y});
  else
    engine_.gelu_mlp({.x = x,
                      .up = weights.up.weight.get(),
                      .up_bias = vector_of(weights.up.bias),
                      .down = weights.down.weight.get(),
                      .down_bias = vector_of(weights.down.bias),
                      .activation = description_.activation,
                      .residual = residual,
                      .y = y});
}

void Transformer::norm(const NormWeights& weights, MatrixView<const float> x, MatrixView<float> y) {
  if (description_.rms_norm())
    engine_.rms_norm({.x = x, .gain = vector_of(weights.gain), .y = y, .epsilon = description_.epsilon});
  else
    engine_.layer_norm({.x = x,
                        .gain = vector_of(weights.gain),
                        .bias = vector_of(weights.bias),
                        .y = y,
                        .epsilon = description_.epsilon});
}

void Transformer::show(std::size_t index, Pass& pass) {
  Buffers& buffers = pass.buffers;
  const MatrixView<float> state = buffers.state.rows(pass.rows), next = buffers.next.rows(pass.rows);
  engine_.drift({.before = state,
                 .after = next,
                 .norm = pass.of_rows(buffers.drift),
                 .relative = pass.of_rows(buffers.drift_relative),
                 .cosine = pass.of_rows(buffers.drift_cosine)});
  LayerView& view = pass.view;
  view.layer = index;
  view.state = next;
  view.drift = pass.of_rows(buffers.drift);
  view.drift_relative = pass.of_rows(buffers.drift_relative);
  view.drift_cosine = pass.of_rows(buffers.drift_cosine);
  view.attention_update = pass.of_rows(buffers.attention_update);
  view.mlp_update = pass.of_rows(buffers.mlp_update);
  const bool post_norm = description_.post_norm();
  view.attention_step = post_norm ? pass.of_rows(buffers.attention_step) : view.attention_update;
  view.mlp_step = post_norm ? pass.of_rows(buffers.mlp_step) : view.mlp_update;
  pass.observer.on_layer(view);
}

void Transformer::final_norm(MatrixView<const float> state, MatrixView<float> to) {
  if (!description_.post_norm()) return norm(weights_.final_norm, state, to);
  if (state.data == to.data) return;
  const auto as_tensor = [](auto view) {
    using Void = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(view.data)>>, const void, void>;
    return BasicTensorView<Void>{.data = view.data,
                                 .dtype = DType::f32,
                                 .rank = 2,
                                 .shape = {view.rows, view.columns},
                                 .strides = {view.stride, 1}};
  };
  engine_.convert({.from = as_tensor(state), .to = as_tensor(to)});
}

void Transformer::require_head(const char* operation) const {
  if (!config().has_head)
    fail(ErrorCode::kUnsupported, "{}: {} has no head that predicts tokens, or it was not loaded", operation,
         path_.string());
}

void Transformer::head_input(MatrixView<const float> state, MatrixView<float> to) {
  if (!description_.post_norm()) return norm(weights_.final_norm, state, to);
  engine_.linear({.x = state,
                  .weight = weights_.head_transform.weight.get(),
                  .bias = vector_of(weights_.head_transform.bias),
                  .activation = description_.activation,
                  .y = to});
  norm(weights_.head_norm, to, to);
}

void Transformer::certainty(MatrixView<const float> state, CertaintyArgs wanted) {
  require_head("certainty");
  const MatrixView<float> x = buffers_->normed.rows(state.rows);
  head_input(state, x);
  wanted.x = x;
  wanted.head = weights_.head.weight.get();
  wanted.bias = vector_of(weights_.head.bias);
  engine_.certainty(wanted);
}

void Transformer::logits(MatrixView<const float> state, MatrixView<float> to) {
  require_head("logits");
  const MatrixView<float> x = buffers_->normed.rows(state.rows);
  head_input(state, x);
  engine_.linear({.x = x, .weight = weights_.head.weight.get(), .bias = vector_of(weights_.head.bias), .y = to});
}

std::unique_ptr<KeyValueCache> Transformer::make_cache(std::size_t tokens) {
  if (!config().causal)
    fail(ErrorCode::kUnsupported, "make_cache: {} is not causal, so it cannot continue a text", path_.string());
  require(tokens > 0 && tokens <= config().context, "make_cache: tokens is {}, needs 1 to {}, the model's context",
          tokens, config().context);
  return std::make_unique<Cache>(*this, tokens);
}

std::unique_ptr<Model> load_model(Engine& engine, const std::filesystem::path& model, const ModelOptions& options) {
  std::unique_ptr<Checkpoint> checkpoint = open_checkpoint(model);
  ModelDescription description = describe_model(model, *checkpoint);
  ModelConfig& config = description.config;
  config.has_head = config.has_head && options.head;
  if (options.last_layer)
    require(*options.last_layer < config.layers, "load_model: last_layer is {}, the model's layers are 0 to {}",
            *options.last_layer, config.layers - 1);
  require(options.precision == DType::f32 || options.precision == DType::bf16,
          "load_model: precision is {}, needs f32 or bf16", name_of(options.precision));
  return std::make_unique<Transformer>(engine, model, std::move(checkpoint), std::move(description), options);
}

}  // namespace lexiscope
