#include "bench/cuda.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <vector>

#include "lexiscope/error.h"

namespace lexiscope::bench {
namespace {

double upload_bytes_per_second(Engine& engine) {
  static double measured = 0;
  if (measured > 0) return measured;
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  const std::array<std::size_t, 1> shape{kBytes};
  const std::vector<std::uint8_t> bytes(kBytes, 1);
  const Tensor tensor = engine.allocate(DType::u8, shape);
  double seconds = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    engine.copy_to_engine(dense_view<const void>(bytes.data(), DType::u8, shape), tensor);
    wait(engine, tensor);
    seconds = std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return measured = static_cast<double>(kBytes) / seconds;
}

}  // namespace

std::unique_ptr<Engine> make_cuda_engine(benchmark::State& state, const EngineOptions& options) {
  try {
    return make_engine("cuda", options);
  } catch (const Error& error) {
    state.SkipWithError(error.what());
    return nullptr;
  }
}

Tensor to_engine(Engine& engine, ConstTensorView host) {
  Tensor tensor = engine.allocate(host.dtype, std::span(host.shape.data(), host.rank));
  engine.copy_to_engine(host, tensor);
  return tensor;
}

void on_the_device(benchmark::internal::Benchmark* bench) {
  bench->Iterations(5)->UseRealTime()->Unit(benchmark::kMillisecond);
}

void enqueued_on_the_device(benchmark::internal::Benchmark* bench) {
  bench->Iterations(5)->UseManualTime()->Unit(benchmark::kMillisecond);
}

void wait(Engine& engine, const Tensor& tensor) {
  std::uint8_t first = 0;
  const std::array<std::size_t, 1> one{1};
  engine.copy_to_host(dense_view<const void>(tensor.view().data, DType::u8, one),
                      dense_view<void>(&first, DType::u8, one));
}

void report_upload(benchmark::State& state, Engine& engine, double bytes_per_iteration) {
  const double total = bytes_per_iteration * static_cast<double>(state.iterations());
  state.counters["bytes/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_upload"] =
      benchmark::Counter(total / upload_bytes_per_second(engine), benchmark::Counter::kIsRate);
}

}  // namespace lexiscope::bench
