// t-SNE's operations on the cuda engine. Each waits for the device once a call, to learn what its arrays held.
#include <algorithm>
#include <cmath>

#include "host/core/control.h"
#include "host/core/require.h"
#include "host/engines/cuda/cuda_engine.h"
#include "host/engines/cuda/tsne_plan.h"
#include "kernels/cuda/tsne_kl.h"

namespace lexiscope::cuda {
namespace {

// Pairs between two looks at the stop token: tens of milliseconds where double precision is fast, a quarter of a second
// where it is not.
constexpr std::size_t kPairsPerChunk = std::size_t{1} << 33;

TsneKlSums read_sums(const void* sums, Stream& stream) {
  TsneKlSums found;
  stream.copy_to_host(std::as_writable_bytes(std::span(&found, 1)), sums);
  return found;
}

}  // namespace

std::unique_ptr<TsnePlan> CudaEngine::do_plan_tsne(const TsnePlanArgs& args) {
  std::unique_ptr<TsnePlan> plan;
  run([&] { plan = std::make_unique<CudaTsnePlan>(args, name(), Machine{device_, pool_, stream_}); });
  return plan;
}

void CudaEngine::do_tsne_gradient(const TsneGradientArgs& args) {
  run([&] { static_cast<CudaTsnePlan*>(args.plan)->gradient(args); });
}

void CudaEngine::do_tsne_step(const TsneStepArgs& args) {
  run([&] { static_cast<CudaTsnePlan*>(args.plan)->step(args); });
}

double CudaEngine::do_tsne_kl(const TsneKlArgs& args) {
  const CompressedRows affinities = compressed_rows("tsne_kl", *args.affinities);
  const MatrixView<const float>& positions = args.positions;
  const TsneKlMap map{.positions = positions.data,
                      .stride = positions.stride,
                      .points = static_cast<unsigned>(positions.rows),
                      .dimensions = static_cast<unsigned>(positions.columns)};
  check_stop(args.control);
  const auto workspace = allocate_workspace(tsne_kl_workspace(map.points));
  const auto memory = allocate_workspace(sizeof(TsneKlSums));
  auto* const sums = static_cast<TsneKlSums*>(memory.get());
  run([&] {
    stream_->fill_with_zeros(sums, sizeof(TsneKlSums));
    tsne_kl_check(map, affinities, sums, stream());
  });
  const unsigned faulty = read_sums(sums, *stream_).faulty;
  if (faulty & kTsneKlAffinitiesFault) fail_affinities("tsne_kl", *args.affinities, *stream_);
  if (faulty & kTsneKlPositionsFault) fail_positions("tsne_kl", positions, *stream_);
  const std::size_t tiles = tsne_kl_tiles(map.points), pairs_a_row = tiles * kTsneKlTile * kTsneKlTile;
  const std::size_t chunk = std::clamp<std::size_t>(kPairsPerChunk / pairs_a_row, 1, kMostTsneKlRowTiles);
  for_each_chunk(tiles, chunk, args.control, [&](std::size_t first, std::size_t last) {
    run([&] {
      tsne_kl_pairs(map, static_cast<unsigned>(first), static_cast<unsigned>(last), workspace.get(), stream());
    });
    if (args.control) device_->check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
  });
  run([&] { tsne_kl_finish(map, affinities, workspace.get(), sums, stream()); });
  const TsneKlSums found = read_sums(sums, *stream_);
  require(found.affinities > 0, "tsne_kl: affinities has no positive value among {} entries", affinities.entries);
  return found.terms / found.affinities + std::log(2 * found.pairs / found.affinities);
}

}  // namespace lexiscope::cuda
