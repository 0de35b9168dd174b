// What attention reads off each text's map goes into one batch's buffers. The full map is cut into bands of queries, so
// that memory does not grow as T^2.
#include "host/analysis/trace_attention.h"

#include <algorithm>

#include "host/core/control.h"

namespace lexiscope {
namespace {

constexpr std::size_t kBandBytes = std::size_t{1} << 24;  // of the full map, held at a time

/// Rows [first, first + count) of every head.
ConstTensorView rows_of(ConstTensorView heads, std::size_t first, std::size_t count) {
  heads.data = static_cast<const std::byte*>(heads.data) + first * heads.strides[1] * size_of(heads.dtype);
  heads.shape[1] = count;
  return heads;
}

/// [H, count, k] in a buffer [H, rows, k] that is used densely, from row `first` on.
TensorView part_of(const Tensor& buffer, std::size_t rows, std::size_t first, std::size_t count) {
  TensorView view = buffer.view();
  const std::size_t k = view.shape[2];
  view.data = static_cast<std::byte*>(view.data) + first * k * size_of(view.dtype);
  view.shape[1] = count;
  view.strides = {rows * k, k, 1};
  return view;
}

}  // namespace

TraceAttention::TraceAttention(const TraceContext& context) : context_(context), heads_(context.model.config().heads) {
  Engine& engine = context.engine;
  const TraceSizes& sizes = context.sizes;
  const std::size_t rows = sizes.batch_rows();
  received_ = engine.allocate(DType::f32, {heads_, rows});
  by_distance_ = engine.allocate(DType::f32, {heads_, sizes.longest});
  distances_.resize(sizes.layers() * heads_ * sizes.longest);
  if (context.options.maps.topk) {
    top_index_ = engine.allocate(DType::i32, {heads_, rows, sizes.peaks});
    top_weight_ = engine.allocate(DType::f32, {heads_, rows, sizes.peaks});
  }
  if (context.options.maps.pooled) {
    pooled_mean_ = engine.allocate(DType::f32, {heads_, sizes.cells, sizes.cells});
    pooled_maximum_ = engine.allocate(DType::f32, {heads_, sizes.cells, sizes.cells});
  }
  if (context.options.maps.full) {
    const std::size_t row_bytes = heads_ * sizes.longest * sizeof(float);
    const std::size_t band = std::clamp<std::size_t>(kBandBytes / row_bytes, 1, sizes.longest);
    rectangle_ = engine.allocate(DType::f32, {heads_, band, sizes.longest});
  }
}

void TraceAttention::begin(const TraceBatch& batch, const TokenBatch& texts) {
  batch_ = &batch;
  texts_ = &texts;
}

AttentionMapArgs TraceAttention::wanted_map(std::size_t text) const {
  const std::size_t first = texts_->offsets[text], tokens = texts_->offsets[text + 1] - first, rows = batch_->rows;
  AttentionMapArgs map{.received = {received_.matrix<float>().data + first, heads_, tokens, rows},
                       .by_distance = {by_distance_.matrix<float>().data, heads_, tokens, tokens}};
  if (context_.options.maps.topk) {
    map.top_index = part_of(top_index_, rows, first, tokens);
    map.top_weight = part_of(top_weight_, rows, first, tokens);
  }
  if (context_.options.maps.pooled) {
    map.pooled_mean = pooled_mean_;
    map.pooled_maximum = pooled_maximum_;
  }
  return map;
}

void TraceAttention::on_map(std::size_t layer, std::size_t text) {
  check_stop(context_.control);
  const std::size_t tokens = texts_->offsets[text + 1] - texts_->offsets[text], longest = context_.sizes.longest;
  const MatrixView<const float> map{by_distance_.matrix<float>().data, heads_, tokens, tokens};
  const HostView host(context_.engine, without_layer(as_layer(map)));
  for (std::size_t head = 0; head < heads_; ++head) {
    double* const sums = distances_.data() + ((layer - context_.sizes.first_layer) * heads_ + head) * longest;
    const float* const weights = host.data<float>() + head * tokens;
    for (std::size_t distance = 0; distance < tokens; ++distance) sums[distance] += weights[distance];
  }
}

void TraceAttention::write(const LayerView& layer) {
  const std::size_t index = layer.layer - context_.sizes.first_layer, rows = batch_->rows;
  const MatrixView<const float> received{received_.matrix<float>().data, heads_, rows, rows};
  write("attention_received", {index, 0, batch_->row}, as_layer(received));
  if (context_.options.maps.topk) {
    write("attention_topk_index", {index, 0, batch_->row, 0}, as_layer(part_of(top_index_, rows, 0, rows)));
    write("attention_topk_weight", {index, 0, batch_->row, 0}, as_layer(part_of(top_weight_, rows, 0, rows)));
  }
  if (context_.options.maps.pooled) {
    write("attention_pooled", {index, 0, 0, 0}, as_layer(pooled_mean_.view()));
    write("attention_pooled_maximum", {index, 0, 0, 0}, as_layer(pooled_maximum_.view()));
  }
  if (context_.options.maps.full) write_full(layer);
}

void TraceAttention::write_full(const LayerView& layer) {
  const StageSeconds::Running running(context_.seconds, "attention maps");
  const std::size_t tokens = context_.sizes.longest, index = layer.layer - context_.sizes.first_layer;
  const std::size_t band = rectangle_.view().shape[1];
  for_each_chunk(tokens, band, context_.control, [&](std::size_t first, std::size_t last) {
    const AttentionMapArgs args{.query = rows_of(layer.query, 0, tokens),
                                .key = rows_of(layer.key, 0, tokens),
                                .scale = layer.scale,
                                .mask = layer.mask,
                                .log_sum_exp = {layer.log_sum_exp.data, heads_, tokens, layer.log_sum_exp.stride},
                                .first_query = first,
                                .rectangle = part_of(rectangle_, last - first, 0, last - first)};
    context_.engine.attention_map(args);
    write("attention", {index, 0, first, 0}, as_layer(args.rectangle));
  });
}

void TraceAttention::write(const char* name, std::initializer_list<std::size_t> first, ConstTensorView piece) {
  const StageSeconds::Running running(context_.seconds, "write");
  context_.arrays.write(name, first, HostView(context_.engine, piece).tensor());
}

void TraceAttention::finish() {
  const auto rows = static_cast<double>(context_.sizes.rows);
  std::vector<float> means;
  means.reserve(distances_.size());
  for (const double sum : distances_) means.push_back(static_cast<float>(sum / rows));
  const std::array shape{context_.sizes.layers(), heads_, context_.sizes.longest};
  context_.arrays.write("attention_by_distance", {0, 0, 0}, dense_view<const void>(means.data(), DType::f32, shape));
}

}  // namespace lexiscope
