// A t-SNE on the cuda engine: the affinities in the kernels' layout, the map's state, and the repulsion for the map as
// it is, with a captured graph of its iteration.
#pragma once

#include <functional>
#include <optional>

#include "host/engines/cuda/graph.h"
#include "host/engines/cuda/memory_pool.h"
#include "host/engines/cuda/stream.h"
#include "host/engines/cuda/transforms.h"
#include "kernels/cuda/tsne_affinities.h"
#include "kernels/cuda/tsne_attraction.h"
#include "kernels/cuda/tsne_exact.h"
#include "kernels/cuda/tsne_grid.h"
#include "lexiscope/ops/tsne_gradient.h"
#include "lexiscope/ops/tsne_kl.h"

namespace lexiscope::cuda {

/// What a plan needs of its engine, and keeps alive.
struct Machine {
  std::shared_ptr<Device> device;
  std::shared_ptr<MemoryPool> pool;
  std::shared_ptr<Stream> stream;
};

/// Throws Error{kUnsupported} where the matrix has more rows than the kernels count.
CompressedRows compressed_rows(std::string_view operation, const SparseMatrix& matrix);

/// Throws what require_affinities_contents() and require_positions() do of the arrays on the engine, which its kernels
/// found to be faulty.
[[noreturn]] void fail_affinities(std::string_view operation, const SparseMatrix& matrix, Stream& stream);
[[noreturn]] void fail_positions(std::string_view operation, const MatrixView<const float>& positions, Stream& stream);

class CudaTsnePlan final : public TsnePlan {
 public:
  CudaTsnePlan(const TsnePlanArgs& args, std::string_view engine, Machine machine);

  void gradient(const TsneGradientArgs& args);
  void step(const TsneStepArgs& args);

  std::size_t captures() const noexcept { return captures_; }  ///< graphs made so far

 private:
  // What computes the repulsion of maps that want `config`.
  struct Repulsor {
    TsneConfig config{};
    TsneExactConfig exact{};
    TsneGrid grid{};
    std::shared_ptr<void> memory{};
    std::unique_ptr<Transforms> transforms{};
    bool has_run = false;
    std::unique_ptr<Graph> iteration{};  // once a step has needed it
  };

  void take(const SparseMatrix& affinities);
  void cut_state();
  void begin(const TsneParameters& parameters);
  TsneStatus read_status();
  void prepare(std::string_view operation, const TsneStatus& status);
  void prepare_grid(Repulsor& repulsor);
  void import(const float* positions, const float* update, const float* gains);
  void repel();
  void enqueue_iteration();
  void run_iterations(std::size_t count);
  [[noreturn]] void fail_step(const TsneStepArgs& args, unsigned faults);
  TsneConfig present() const { return repulsor_ ? repulsor_->config : TsneConfig{}; }
  cudaStream_t stream() const noexcept { return machine_.stream->handle(); }

  Machine machine_;
  Repulsion wanted_;
  std::shared_ptr<void> edges_, offsets_, state_memory_;
  TsneAffinities affinities_;
  TsneState state_;
  std::optional<Repulsor> repulsor_;
  std::size_t captures_ = 0;
};

}  // namespace lexiscope::cuda
