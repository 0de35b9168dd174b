// Each layer is written as it shows itself: nothing of it is kept but sums.
#include "host/analysis/trace_observer.h"

#include "host/analysis/trace_arrays.h"

namespace lexiscope {
namespace {

constexpr std::size_t kNormRows = 256;  // normed at a time

double sum_of(const HostView& values) {
  double sum = 0;
  for (std::size_t i = 0; i < values.tensor().elements(); ++i) sum += values.data<float>()[i];
  return sum;
}

}  // namespace

TraceObserver::TraceObserver(const TraceContext& context, TraceAttention& attention, TraceCertainty& certainty)
    : context_(context), attention_(attention), certainty_(certainty), sums_(context.sizes.layers()) {
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i].layer = context.sizes.first_layer + i;
  if (context.options.lens) lens_sums_.resize(sums_.size());
  if (context.sizes.final_norm)
    normed_ = context_.engine.allocate(DType::f32,
                                       {std::min(kNormRows, context.sizes.batch_rows()), context.model.config().width});
}

void TraceObserver::begin(const TraceBatch& batch, const TokenBatch& texts) {
  batch_ = &batch;
  texts_ = &texts;
  attention_.begin(batch, texts);
  rows_seen_ += batch.rows;
  complete_ = false;
}

void TraceObserver::on_embedding(MatrixView<const float> state) {
  if (context_.sizes.first_layer == 0) write_state(0, state);
}

// The state before the first layer is what the layer before it gives.
bool TraceObserver::wants_layer(std::size_t layer) const {
  return layer + 1 >= context_.sizes.first_layer && layer <= context_.sizes.last_layer;
}

AttentionMapArgs TraceObserver::wanted_map(std::size_t layer, std::size_t text) const {
  return layer < context_.sizes.first_layer ? AttentionMapArgs{} : attention_.wanted_map(text);
}

void TraceObserver::on_map(std::size_t layer, std::size_t text) { attention_.on_map(layer, text); }

void TraceObserver::on_layer(const LayerView& layer) {
  const std::size_t first = context_.sizes.first_layer;
  write_state(layer.layer + 1 - first, layer.state);
  if (layer.layer < first) return;
  const std::size_t index = layer.layer - first;
  precision_ = layer.query.dtype;
  take_tokens(layer, index);
  take_attention(layer, index);
  attention_.write(layer);
  take_certainty(layer, index);
  complete_ = layer.layer == context_.sizes.last_layer;
  if (complete_ && context_.sizes.final_norm) write_final_norm(layer.state);
}

void TraceObserver::take_tokens(const LayerView& layer, std::size_t index) {
  LayerSummary& sums = sums_[index];
  double unused = 0;
  const struct {
    const char* name;
    VectorView<const float> values;
    double& sum;
  } parts[] = {{"drift", layer.drift, sums.drift},
               {"drift_relative", layer.drift_relative, sums.drift_relative},
               {"drift_cosine", layer.drift_cosine, sums.drift_cosine},
               {"attention_update", layer.attention_update, sums.attention_update},
               {"mlp_update", layer.mlp_update, sums.mlp_update},
               {"attention_step", layer.attention_step, unused},
               {"mlp_step", layer.mlp_step, unused}};
  for (const auto& [name, values, sum] : parts) {
    const HostView host(context_.engine, without_layer(as_layer(values)));
    sum += sum_of(host);
    write(name, {index, batch_->row}, as_layer(values));
  }
}

void TraceObserver::take_attention(const LayerView& layer, std::size_t index) {
  write("attention_entropy", {index, 0, batch_->row}, as_layer(layer.entropy));
  write("attention_lse", {index, 0, batch_->row}, as_layer(layer.log_sum_exp));
  write("attention_maximum", {index, 0, batch_->row}, as_layer(layer.maximum));
  write("attention_argmax", {index, 0, batch_->row}, as_layer(layer.argmax));
  for (std::size_t head = 0; head < layer.entropy.rows; ++head) {
    const VectorView<const float> row{layer.entropy.row(head), layer.entropy.columns};
    sums_[index].attention_entropy += sum_of(HostView(context_.engine, without_layer(as_layer(row))));
  }
}

void TraceObserver::take_certainty(const LayerView& layer, std::size_t index) {
  const bool final = context_.sizes.certainty && layer.layer == context_.sizes.last_layer, lens = context_.options.lens;
  if (!final && !lens) return;
  const CertaintySums found =
      certainty_.record(layer.state, *batch_, *texts_, final, lens ? std::optional(index) : std::nullopt);
  if (lens) lens_sums_[index] += found;
  if (final) final_sums_ += found;
}

void TraceObserver::write_state(std::size_t index, MatrixView<const float> state) {
  write("hidden_states", {index, batch_->row, 0}, as_layer(state));
}

void TraceObserver::write_final_norm(MatrixView<const float> state) {
  for (std::size_t first = 0; first < state.rows; first += kNormRows) {
    const std::size_t rows = std::min(kNormRows, state.rows - first);
    const MatrixView<float> normed = normed_.matrix<float>().rows_from(0, rows);
    context_.model.final_norm(state.rows_from(first, rows), normed);
    write("final_norm", {batch_->row + first, 0}, without_layer(as_layer(normed)));
  }
}

void TraceObserver::write(const char* name, std::initializer_list<std::size_t> first, ConstTensorView piece) {
  const StageSeconds::Running running(context_.seconds, "write");
  context_.arrays.write(name, first, HostView(context_.engine, piece).tensor());
}

std::vector<LayerSummary> TraceObserver::summaries() const {
  const auto rows = static_cast<double>(rows_seen_);
  const auto heads = static_cast<double>(context_.model.config().heads);
  const auto predicted = static_cast<double>(predicted_tokens(context_.model.config(), context_.sizes));
  std::vector<LayerSummary> means = sums_;
  for (std::size_t i = 0; i < means.size(); ++i) {
    LayerSummary& layer = means[i];
    for (double* sum :
         {&layer.drift, &layer.drift_relative, &layer.drift_cosine, &layer.attention_update, &layer.mlp_update})
      *sum /= rows;
    layer.attention_entropy /= rows * heads;
    if (!context_.options.lens) continue;
    layer.lens_entropy = lens_sums_[i].entropy / rows;
    if (predicted > 0) layer.lens_log_prob = lens_sums_[i].log_prob / predicted;
  }
  return means;
}

}  // namespace lexiscope
