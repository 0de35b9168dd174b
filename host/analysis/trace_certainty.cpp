// Rows go through the head in chunks: each is short enough for a stop to be seen, and long enough to be a good product.
#include "host/analysis/trace_certainty.h"

#include <algorithm>

#include "host/analysis/trace_arrays.h"
#include "host/core/control.h"

namespace lexiscope {
namespace {

constexpr std::size_t kChunkRows = 256;

template <typename Element>
VectorView<Element> first_of(const Tensor& tensor, std::size_t count) {
  return {tensor.vector<Element>().data, count};
}

template <typename Element>
ConstTensorView dense(const std::vector<Element>& values) {
  return dense_view<const void>(values.data(), dtype_of<Element>(), std::array{values.size()});
}

/// The same view with a leading axis of 1.
ConstTensorView with_layer(const ConstTensorView& view) {
  return view.rank == 1 ? dense_view<const void>(view.data, view.dtype, std::array<std::size_t, 2>{1, view.shape[0]})
                        : dense_view<const void>(view.data, view.dtype,
                                                 std::array<std::size_t, 3>{1, view.shape[0], view.shape[1]});
}

}  // namespace

/// The results of a few rows, on the host.
struct TraceCertainty::Chunk {
  std::size_t row = 0;        ///< the first row, of all
  std::size_t predicted = 0;  ///< the first predicted token, of all
  std::vector<float> log_prob{};
  std::vector<std::int32_t> rank{};  ///< of the predicted tokens alone
  HostView entropy, top_id, top_log_prob;
};

TraceCertainty::TraceCertainty(const TraceContext& context) : context_(context) {
  if (!context.sizes.certainty && !context.options.lens) return;
  const std::size_t rows = std::min(kChunkRows, context.sizes.batch_rows()), k = context.options.top_k;
  Engine& engine = context_.engine;
  target_ = engine.allocate(DType::i32, {rows});
  log_prob_ = engine.allocate(DType::f32, {rows});
  rank_ = engine.allocate(DType::i32, {rows});
  entropy_ = engine.allocate(DType::f32, {rows});
  top_id_ = engine.allocate(DType::i32, {rows, k});
  top_log_prob_ = engine.allocate(DType::f32, {rows, k});
}

CertaintySums TraceCertainty::record(MatrixView<const float> state, const TraceBatch& batch, const TokenBatch& texts,
                                     bool final, std::optional<std::size_t> lens_layer) {
  const StageSeconds::Running running(context_.seconds, "certainty");
  CertaintySums sums;
  for_each_chunk(state.rows, kChunkRows, context_.control, [&](std::size_t first, std::size_t last) {
    const Chunk chunk = compute(state.rows_from(first, last - first), batch, texts, first);
    for (const float log_prob : chunk.log_prob) sums.log_prob += log_prob;
    for (std::size_t i = 0; i < last - first; ++i) sums.entropy += chunk.entropy.data<float>()[i];
    write(chunk, final, lens_layer);
    if (final) take_first_text(chunk);
  });
  return sums;
}

/// `state` are the batch's rows from `first` on. A causal model's row predicts the next token of its text, and a text's
/// last row none; one that sees both ways tells of the row's own token.
TraceCertainty::Chunk TraceCertainty::compute(MatrixView<const float> state, const TraceBatch& batch,
                                              const TokenBatch& texts, std::size_t first) {
  const bool causal = context_.model.config().causal;
  const std::size_t rows = state.rows, k = context_.options.top_k;
  std::vector<std::int32_t> targets(rows);
  // The text of row `first`: as many texts of the batch end at or before it, and each end predicts nothing.
  std::size_t text =
      static_cast<std::size_t>(std::ranges::upper_bound(texts.offsets, first) - texts.offsets.begin()) - 1;
  const std::size_t predicted = batch.row + first - (causal ? batch.first + text : 0);
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t row = first + i;
    const bool ends = row + 1 == texts.offsets[text + 1];
    targets[i] = !causal ? texts.ids[row] : ends ? -1 : texts.ids[row + 1];
    if (ends) ++text;
  }
  const auto target = first_of<std::int32_t>(target_, rows);
  const std::array shape{rows};
  context_.engine.copy_to_engine(dense(targets), dense_view<void>(target.data, DType::i32, shape));
  const auto log_prob = first_of<float>(log_prob_, rows), entropy = first_of<float>(entropy_, rows);
  const auto rank = first_of<std::int32_t>(rank_, rows);
  const MatrixView<std::int32_t> top_id{top_id_.matrix<std::int32_t>().data, rows, k, k};
  const MatrixView<float> top_log_prob{top_log_prob_.matrix<float>().data, rows, k, k};
  context_.model.certainty(state, {.target = target,
                                   .target_log_prob = log_prob,
                                   .target_rank = rank,
                                   .entropy = entropy,
                                   .top_id = top_id,
                                   .top_log_prob = top_log_prob});
  Engine& engine = context_.engine;
  const HostView all_log_prob(engine, dense_view<const void>(log_prob.data, DType::f32, shape)),
      all_ranks(engine, dense_view<const void>(rank.data, DType::i32, shape));
  Chunk chunk{.row = batch.row + first,
              .predicted = predicted,
              .entropy = {engine, dense_view<const void>(entropy.data, DType::f32, shape)},
              .top_id = {engine, without_layer(as_layer(top_id))},
              .top_log_prob = {engine, without_layer(as_layer(top_log_prob))}};
  for (std::size_t i = 0; i < rows; ++i) {
    if (targets[i] < 0) continue;
    chunk.log_prob.push_back(all_log_prob.data<float>()[i]);
    chunk.rank.push_back(all_ranks.data<std::int32_t>()[i]);
  }
  return chunk;
}

void TraceCertainty::write(const Chunk& chunk, bool final, std::optional<std::size_t> lens_layer) {
  const StageSeconds::Running running(context_.seconds, "write");
  const struct {
    const char* name;
    std::size_t row;
    ConstTensorView values;
  } parts[] = {{"_log_prob", chunk.predicted, dense(chunk.log_prob)},
               {"_rank", chunk.predicted, dense(chunk.rank)},
               {"_entropy", chunk.row, chunk.entropy.tensor()},
               {"_topk_id", chunk.row, chunk.top_id.tensor()},
               {"_topk_log_prob", chunk.row, chunk.top_log_prob.tensor()}};
  for (const auto& [name, row, values] : parts) {
    std::vector<std::size_t> at(values.rank, 0);
    at.front() = row;
    if (final) context_.arrays.write(certainty_prefix(context_.model.config()) + std::string(name), at, values);
    if (!lens_layer) continue;
    at.insert(at.begin(), *lens_layer);
    context_.arrays.write(std::string("lens") + name, at, with_layer(values));
  }
}

void TraceCertainty::take_first_text(const Chunk& chunk) {
  const std::size_t tokens = context_.sizes.offsets[1];
  const std::size_t predicted = context_.model.config().causal ? tokens - 1 : tokens;
  for (std::size_t i = 0; i < chunk.log_prob.size() && chunk.predicted + i < predicted; ++i)
    first_text_.push_back({chunk.log_prob[i], chunk.rank[i]});
}

}  // namespace lexiscope
