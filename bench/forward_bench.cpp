// The forward pass of a real model: plain, and with every layer's states, drift and attention statistics recorded.
//   LEXISCOPE_BENCH_MODEL=.cache/models/all-MiniLM-L6-v2 lexiscope-bench --benchmark_filter=forward
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

#include "bench/limits.h"
#include "lexiscope/model.h"

namespace lexiscope::bench {
namespace {

/// Copies all that a layer shows to places that were there before, as a recording does.
class Recorder final : public ForwardObserver {
 public:
  Recorder(const ModelConfig& model, std::size_t rows)
      : states_((model.layers + 1) * rows * model.width), statistics_(4 * model.layers * model.heads * rows) {}

  void begin() { state_ = states_.data(), statistic_ = statistics_.data(); }
  void on_embedding(MatrixView<const float> state) override { keep(state, state_); }
  bool wants_layer(std::size_t) const override { return true; }
  void on_layer(const LayerView& layer) override {
    keep(layer.state, state_);
    for (const MatrixView<const float>& view : {layer.log_sum_exp, layer.entropy, layer.maximum})
      keep(view, statistic_);
  }

 private:
  static void keep(MatrixView<const float> from, float*& to) {
    for (std::size_t row = 0; row < from.rows; ++row) to = std::copy_n(from.row(row), from.columns, to);
  }

  std::vector<float> states_, statistics_;
  float *state_ = nullptr, *statistic_ = nullptr;
};

double products(const ModelConfig& model, double rows) {
  const double query = static_cast<double>(model.heads * model.head_dim),
               key = static_cast<double>(model.key_heads * model.head_dim), d = static_cast<double>(model.width),
               mlp = static_cast<double>(model.mlp_width) * (model.architecture == Architecture::llama ? 3 : 2);
  return 2 * static_cast<double>(model.layers) * rows * d * (2 * query + 2 * key + mlp);
}

void forward(benchmark::State& state, bool record) {
  const char* const path = std::getenv("LEXISCOPE_BENCH_MODEL");
  if (!path) return state.SkipWithError("LEXISCOPE_BENCH_MODEL names no model folder or .gguf");
  const auto tokens = static_cast<std::size_t>(state.range(0)), texts = static_cast<std::size_t>(state.range(1));
  const auto engine = make_engine("cpu");
  const auto model = load_model(*engine, path, {.head = false});
  std::mt19937 random(1);
  std::uniform_int_distribution<std::int32_t> id(0, static_cast<std::int32_t>(model->config().vocabulary) - 1);
  TokenBatch batch;
  std::vector<std::int32_t> text(tokens);
  for (std::size_t i = 0; i < texts; ++i) {
    std::ranges::generate(text, [&] { return id(random); });
    batch.add(text);
  }
  ForwardObserver nothing;
  Recorder recorder(model->config(), batch.rows());
  model->forward(batch, nothing);  // the first pass prepares weights and buffers
  for (auto _ : state) {
    recorder.begin();
    benchmark::DoNotOptimize(model->forward(batch, record ? recorder : nothing).data);
  }
  report_flops(state, products(model->config(), static_cast<double>(batch.rows())), engine->threads());
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "texts"})->Args({16, 1})->Args({128, 1})->Args({512, 1})->Args({128, 32});
}

BENCHMARK_CAPTURE(forward, plain, false)->Apply(shapes)->UseRealTime();
BENCHMARK_CAPTURE(forward, statistics, true)->Apply(shapes)->UseRealTime();

}  // namespace
}  // namespace lexiscope::bench
