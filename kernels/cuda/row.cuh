// A row that several lanes hold in registers between passes over it, so that its bytes cross memory once: the ground of
// LayerNorm and RMSNorm. One warp a row where a warp's registers hold it; else a block a row; a row that the registers
// of one block do not hold is read again by every pass.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/row_config.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {

/// A row of `columns` elements, from `first` on every `step`-th pack of them a thread's own. load(column) reads a pack.
template <unsigned kWidth, unsigned kElements, typename Load>
class HeldRow {
 public:
  __device__ HeldRow(unsigned columns, unsigned first, unsigned step, const Load& load)
      : columns_(columns), first_(first), step_(step) {
#pragma unroll
    for (unsigned p = 0; p < kPacks; ++p)
      if (column(p) < columns_) packs_[p] = load(column(p));
  }

  /// Calls visit(column, pack) for this thread's packs.
  template <typename Visit>
  __device__ void for_each(const Visit& visit) const {
#pragma unroll
    for (unsigned p = 0; p < kPacks; ++p)
      if (column(p) < columns_) visit(column(p), packs_[p]);
  }

 private:
  static constexpr unsigned kPacks = kElements / kWidth;
  __device__ unsigned column(unsigned pack) const { return first_ + pack * step_; }

  unsigned columns_, first_, step_;
  Pack<float, kWidth> packs_[kPacks];
};

/// The same of a row that is read again by every pass.
template <unsigned kWidth, typename Load>
class ReadRow {
 public:
  __device__ ReadRow(unsigned columns, unsigned first, unsigned step, const Load& load)
      : columns_(columns), first_(first), step_(step), load_(load) {}

  template <typename Visit>
  __device__ void for_each(const Visit& visit) const {
    for (unsigned column = first_; column < columns_; column += step_) visit(column, load_(column));
  }

 private:
  unsigned columns_, first_, step_;
  Load load_;
};

struct RowShared {
  double partial[2][most_threads(RowHolder::block) / kWarpSize];  // of two sums, one after the other
};

/// The threads that share a row.
template <unsigned kWidth, RowHolder kHolder>
class RowThreads {
 public:
  __device__ explicit RowThreads(std::size_t rows) {
    if constexpr (kHolder == RowHolder::warp) {
      row_ = std::size_t{blockIdx.x} * (blockDim.x / kWarpSize) + threadIdx.x / kWarpSize;
      first_ = threadIdx.x % kWarpSize * kWidth;
      step_ = kWarpSize * kWidth;
    } else {
      row_ = blockIdx.x;
      first_ = threadIdx.x * kWidth;
      step_ = blockDim.x * kWidth;
    }
    has_row_ = row_ < rows;
  }

  __device__ std::size_t row() const { return row_; }
  __device__ bool has_row() const { return has_row_; }  // the same for all that share one

  template <typename Load>
  __device__ auto hold(std::size_t columns, const Load& load) const {
    using Row = std::conditional_t<kHolder == RowHolder::nobody, ReadRow<kWidth, Load>,
                                   HeldRow<kWidth, held_elements(kHolder, kWidth), Load>>;
    return Row(static_cast<unsigned>(columns), first_, step_, load);
  }

  /// The sum over the row's threads, the same bits in each. All of them call it, at most once for each kIndex < 2.
  template <unsigned kIndex, typename Number>
  __device__ Number sum(Number value) const {
    value = warp_sum(value);
    if constexpr (kHolder == RowHolder::warp) return value;
    auto& partial = shared_memory<RowShared>().partial[kIndex];
    if (threadIdx.x % kWarpSize == 0) partial[threadIdx.x / kWarpSize] = value;
    __syncthreads();
    const unsigned lane = threadIdx.x % kWarpSize;
    return warp_sum(lane < blockDim.x / kWarpSize ? static_cast<Number>(partial[lane]) : Number{0});
  }

 private:
  std::size_t row_;
  unsigned first_, step_;
  bool has_row_;
};

/// Launches kernel<kWidth, kHolder>(args) for args.x, where `kernels` names the kernel: kernels.template get<W, H>().
template <typename Args, typename Kernels>
void launch_rows(const char* name, const Args& args, const RowConfig& config, cudaStream_t stream,
                 const Kernels& kernels) {
  const auto launch_as = [&]<unsigned kWidth>(std::integral_constant<unsigned, kWidth>) {
    const std::size_t rows_per_block = config.holder == RowHolder::warp ? config.threads / kWarpSize : 1;
    const LaunchShape shape{.blocks = static_cast<unsigned>((args.x.rows + rows_per_block - 1) / rows_per_block),
                            .threads = config.threads,
                            .shared_bytes = config.holder == RowHolder::warp ? 0 : sizeof(RowShared)};
    const auto kernel = config.holder == RowHolder::warp    ? kernels.template get<kWidth, RowHolder::warp>()
                        : config.holder == RowHolder::block ? kernels.template get<kWidth, RowHolder::block>()
                                                            : kernels.template get<kWidth, RowHolder::nobody>();
    launch(name, kernel, shape, stream, args);
  };
  if (config.vector_width == 4)
    launch_as(std::integral_constant<unsigned, 4>());
  else
    launch_as(std::integral_constant<unsigned, 1>());
}

}  // namespace lexiscope::cuda
