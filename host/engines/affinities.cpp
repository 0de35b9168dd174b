// The affinities on the engines: the checks that all share, memory for the results, and the calls into the kernels.
#include "kernels/cpu/affinities.h"

#include <cmath>
#include <limits>

#include "host/core/control.h"
#include "host/core/finite.h"
#include "host/core/memory_limit.h"
#include "host/core/require.h"
#include "host/engines/affinities_errors.h"
#include "host/engines/engines.h"
#include "kernels/cpu/global_affinities.h"
#include "kernels/reference/affinities.h"

namespace lexiscope {
namespace {

constexpr std::size_t kRowsPerChunk = 16384;  // calibrated in some ten milliseconds
constexpr double kMultipliesPerChunk = 4e8;   // a thread, of all-pairs work: a tenth of a second or so
constexpr double kPasses = 3;                 // over all pairs: sum, count, fill
constexpr std::size_t kMostPoints = std::numeric_limits<std::int32_t>::max();

SparseMatrix allocate_matrix(Engine& engine, std::span<const std::int64_t> row_offsets) {
  const auto entries = static_cast<std::size_t>(row_offsets.back());
  SparseMatrix matrix{.row_offsets = engine.allocate(DType::i64, {row_offsets.size()}),
                      .columns = engine.allocate(DType::i32, {entries}),
                      .values = engine.allocate(DType::f32, {entries})};
  std::copy(row_offsets.begin(), row_offsets.end(), matrix.row_offsets.vector<std::int64_t>().data);
  return matrix;
}

SparseMatrix matrix_of(Engine& engine, const reference::SparseRows& rows) {
  SparseMatrix matrix = allocate_matrix(engine, rows.row_offsets);
  std::copy(rows.columns.begin(), rows.columns.end(), matrix.columns.vector<std::int32_t>().data);
  std::copy(rows.values.begin(), rows.values.end(), matrix.values.vector<float>().data);
  return matrix;
}

}  // namespace

SparseMatrix Engine::affinities(const AffinitiesArgs& args) {
  const auto [N, k] = std::pair{args.indices.rows, args.indices.columns};
  require(args.distances.rows == N && args.distances.columns == k,
          "affinities: distances are [{}, {}], indices are [{}, {}]", args.distances.rows, args.distances.columns, N,
          k);
  require(N <= kMostPoints, "affinities: {} points are more than columns can count", N);
  require(N == 0 || (args.perplexity >= 1 && args.perplexity <= static_cast<float>(k)),
          "affinities: perplexity is {}, needs to be 1 to {}, the number of neighbours", args.perplexity, k);
  if (memory_is_host())
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t n = 0; n < k; ++n) require_neighbor(N, i, n, args.indices.row(i)[n], args.distances.row(i)[n]);
  return do_affinities(args);
}

SparseMatrix Engine::global_affinities(const GlobalAffinitiesArgs& args) {
  const auto [N, d] = std::pair{args.points.rows, args.points.columns};
  require(N >= 2 && d >= 1, "global_affinities: points are [{}, {}], need at least 2 rows and 1 column", N, d);
  require(N <= kMostPoints, "global_affinities: {} points are more than columns can count", N);
  require(args.sigma > 0 && std::isfinite(args.sigma), "global_affinities: sigma is {}, needs to be positive",
          args.sigma);
  if (memory_is_host()) require_finite("global_affinities", "points", args.points, threads());
  return do_global_affinities(args);
}

SparseMatrix ReferenceEngine::do_affinities(const AffinitiesArgs& args) {
  check_stop(args.control);
  SparseMatrix matrix = matrix_of(*this, reference::affinities(args));
  report(args.control, 1);
  return matrix;
}

SparseMatrix ReferenceEngine::do_global_affinities(const GlobalAffinitiesArgs& args) {
  check_stop(args.control);
  const auto rows = reference::global_affinities(args);
  if (rows.row_offsets.empty()) fail_underflow(args);
  SparseMatrix matrix = matrix_of(*this, rows);
  report(args.control, 1);
  return matrix;
}

SparseMatrix CpuEngine::do_affinities(const AffinitiesArgs& args) {
  const std::size_t N = args.indices.rows;
  const auto context_now = context(cpu::affinities_workspace(args, threads_));
  for_each_chunk(N, kRowsPerChunk, args.control, [&](std::size_t first, std::size_t last) {
    cpu::conditional_affinities(args, first, last, context_now);
  });
  SparseMatrix matrix{.row_offsets = allocate(DType::i64, {N + 1}), .columns = {}, .values = {}};
  auto* row_offsets = matrix.row_offsets.vector<std::int64_t>().data;
  cpu::transpose_affinities(args, context_now);
  check_stop(args.control);
  cpu::count_affinities(args, row_offsets, context_now);
  check_stop(args.control);
  matrix.columns = allocate(DType::i32, {static_cast<std::size_t>(row_offsets[N])});
  matrix.values = allocate(DType::f32, {static_cast<std::size_t>(row_offsets[N])});
  cpu::fill_affinities(args, row_offsets, matrix.columns.vector<std::int32_t>().data,
                       matrix.values.vector<float>().data, context_now);
  return matrix;
}

SparseMatrix CpuEngine::do_global_affinities(const GlobalAffinitiesArgs& args) {
  const std::size_t N = args.points.rows;
  const auto context_now = context(cpu::global_affinities_workspace(args, threads_));
  cpu::prepare_global_affinities(args, context_now);
  const double row_cost = static_cast<double>(N) * static_cast<double>(args.points.columns);
  const auto chunk =
      static_cast<std::size_t>(std::max(16.0, kMultipliesPerChunk / row_cost)) * static_cast<std::size_t>(threads_);
  double passes_done = 0;
  const auto in_chunks = [&](const auto& pass) {
    Control part{.stop = args.control ? args.control->stop : std::stop_token(),
                 .progress = [&](double share) { report(args.control, (passes_done + share) / kPasses); }};
    for_each_chunk(N, chunk, &part, pass);
    ++passes_done;
  };

  const Tensor row_sums = allocate(DType::f64, {N});
  const auto sums = row_sums.vector<double>();
  in_chunks([&](std::size_t first, std::size_t last) {
    cpu::sum_global_affinities(args, sums.data, first, last, context_now);
  });
  double sum = 0;
  for (std::size_t i = 0; i < N; ++i) sum += sums[i];
  if (sum < std::numeric_limits<double>::min()) fail_underflow(args);

  SparseMatrix matrix{.row_offsets = allocate(DType::i64, {N + 1}), .columns = {}, .values = {}};
  auto* row_offsets = matrix.row_offsets.vector<std::int64_t>().data;
  in_chunks([&](std::size_t first, std::size_t last) {
    cpu::count_global_affinities(args, sum, row_offsets + 1, first, last, context_now);
  });
  for (std::size_t i = 0; i < N; ++i) row_offsets[i + 1] += row_offsets[i];
  const auto entries = static_cast<std::size_t>(row_offsets[N]);
  require_memory("global_affinities", entries * (sizeof(std::int32_t) + sizeof(float)));
  matrix.columns = allocate(DType::i32, {entries});
  matrix.values = allocate(DType::f32, {entries});
  in_chunks([&](std::size_t first, std::size_t last) {
    cpu::fill_global_affinities(args, sum, row_offsets, matrix.columns.vector<std::int32_t>().data,
                                matrix.values.vector<float>().data, first, last, context_now);
  });
  return matrix;
}

}  // namespace lexiscope
