// The neighbour search and the affinities on the cuda engine. Neighbours are enqueued and no more; a matrix of
// affinities is waited for, since the number of its entries comes from the device.
#include <limits>

#include "host/core/control.h"
#include "host/engines/affinities_errors.h"
#include "host/engines/cuda/cuda_engine.h"
#include "kernels/cuda/affinities.h"
#include "kernels/cuda/global_affinities.h"
#include "kernels/cuda/neighbors.h"

namespace lexiscope::cuda {
namespace {

constexpr double kTermsPerChunk = 4e10;  // of all-pairs work in double: a tenth of a second or so
constexpr double kPasses = 3;            // over all pairs: sum, count, fill

template <typename Value>
Value on_host(Stream& stream, const Value* value) {
  Value copy{};
  stream.copy_to_host(std::as_writable_bytes(std::span(&copy, 1)), value);
  return copy;
}

[[noreturn]] void fail_neighbor(const AffinitiesArgs& args, std::uint64_t at, Stream& stream) {
  const std::size_t k = args.indices.columns, i = at / k, n = at % k;
  require_neighbor(args.indices.rows, i, n, on_host(stream, args.indices.row(i) + n),
                   on_host(stream, args.distances.row(i) + n));
  fail(ErrorCode::kInvalidArgument, "affinities: indices[{}, {}] or its distance changed meanwhile", i, n);
}

}  // namespace

void CudaEngine::do_neighbors(const NeighborsArgs& args) {
  const NeighborsConfig config = choose_neighbors_config(args.points.rows, args.indices.rows, args.points.columns,
                                                         args.indices.columns, properties());
  check_stop(args.control);
  const auto workspace = allocate_workspace(neighbors_workspace(args, config));
  run([&] { cuda::prepare_neighbors(args, config, workspace.get(), stream()); });
  for_each_chunk(args.indices.rows, config.queries_per_chunk, args.control, [&](std::size_t first, std::size_t last) {
    run([&] { cuda::neighbors(args, config, first, last, workspace.get(), stream()); });
    if (args.control) stream_->synchronize();  // so that what is reported is done, and a stop not long in coming
  });
}

SparseMatrix CudaEngine::do_affinities(const AffinitiesArgs& args) {
  check_stop(args.control);
  const std::size_t N = args.indices.rows;
  SparseMatrix matrix{.row_offsets = allocate(DType::i64, {N + 1}), .columns = {}, .values = {}};
  auto* row_offsets = matrix.row_offsets.vector<std::int64_t>().data;
  std::size_t entries = 0;
  std::shared_ptr<void> workspace;
  SortedPairs pairs{};
  if (N > 0) {
    std::size_t bytes = 0;
    run([&] { bytes = affinities_workspace(args); });
    workspace = allocate_workspace(bytes);
    const AffinitiesSummary* summary_there = nullptr;
    run([&] {
      pairs = begin_affinities(args, row_offsets, workspace.get(), stream());
      summary_there = affinities_summary(args, workspace.get());
    });
    const AffinitiesSummary summary = on_host(*stream_, summary_there);
    if (summary.first_wrong != kNoneWrong) fail_neighbor(args, summary.first_wrong, *stream_);
    entries = static_cast<std::size_t>(summary.entries);
    check_stop(args.control);
  }
  matrix.columns = allocate(DType::i32, {entries});
  matrix.values = allocate(DType::f32, {entries});
  if (N > 0)
    run([&] {
      fill_affinities(args, pairs, row_offsets, matrix.columns.vector<std::int32_t>().data,
                      matrix.values.vector<float>().data, workspace.get(), stream());
    });
  report(args.control, 1);
  return matrix;
}

SparseMatrix CudaEngine::do_global_affinities(const GlobalAffinitiesArgs& args) {
  const std::size_t N = args.points.rows;
  const double row_terms = static_cast<double>(N) * static_cast<double>(args.points.columns);
  const auto chunk = static_cast<std::size_t>(std::max(64.0, kTermsPerChunk / row_terms));
  double passes_done = 0;
  const auto in_chunks = [&](const auto& pass) {
    Control part{.stop = args.control ? args.control->stop : std::stop_token(),
                 .progress = [&](double share) { report(args.control, (passes_done + share) / kPasses); }};
    for_each_chunk(N, chunk, &part, [&](std::size_t first, std::size_t last) {
      run([&] { pass(first, last); });
      if (args.control) stream_->synchronize();
    });
    ++passes_done;
  };

  SparseMatrix matrix{.row_offsets = allocate(DType::i64, {N + 1}), .columns = {}, .values = {}};
  auto* row_offsets = matrix.row_offsets.vector<std::int64_t>().data;
  const auto shared = allocate_workspace(global_affinities_workspace(args));
  void* const workspace = shared.get();
  in_chunks(
      [&](std::size_t first, std::size_t last) { sum_global_affinities(args, first, last, workspace, stream()); });
  run([&] { add_global_sums(args, workspace, stream()); });
  in_chunks([&](std::size_t first, std::size_t last) {
    count_global_affinities(args, row_offsets, first, last, workspace, stream());
  });
  run([&] { scan_global_offsets(args, row_offsets, workspace, stream()); });
  const GlobalAffinitiesSummary summary = on_host(*stream_, global_affinities_summary(args, workspace));
  if (!(summary.sum >= std::numeric_limits<double>::min())) fail_underflow(args);

  const auto entries = static_cast<std::size_t>(summary.entries);
  matrix.columns = allocate(DType::i32, {entries});
  matrix.values = allocate(DType::f32, {entries});
  in_chunks([&](std::size_t first, std::size_t last) {
    fill_global_affinities(args, row_offsets, matrix.columns.vector<std::int32_t>().data,
                           matrix.values.vector<float>().data, first, last, workspace, stream());
  });
  return matrix;
}

}  // namespace lexiscope::cuda
