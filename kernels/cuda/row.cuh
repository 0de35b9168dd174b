// A row that several lanes hold in registers between passes over it, so that its bytes cross memory once: the ground of
// LayerNorm and RMSNorm. One warp a row where a warp's registers hold it; else a block a row; a row that the registers
// of one block do not hold is read again by every pass. What memory takes is hidden by loads that wait together.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/row_config.h"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {

template <unsigned kWidth>
__device__ __forceinline__ void add_pack(Pack<float, kWidth>& sum, const Pack<float, kWidth>& added) {
#pragma unroll
  for (unsigned k = 0; k < kWidth; ++k) sum.values[k] += added.values[k];
}

/// A row of `columns` elements of x, plus the residual's where there is one: of a warp's kElements a lane the packs
/// from `first` on, every 32nd.
template <unsigned kWidth, unsigned kElements>
class HeldRow {
 public:
  using Elements = Pack<float, kWidth>;

  /// All loads of x are under way before the first is waited for, and so are those of the residual, a batch at a time.
  __device__ HeldRow(const float* x, const float* residual, unsigned columns, unsigned first)
      : columns_(columns), first_(first) {
#pragma unroll
    for (unsigned p = 0; p < kPacks; ++p)
      if (is_inside(p)) packs_[p] = load_pack<kWidth>(x + column(p));
    if (residual)
      for_each([&](std::size_t at) { return load_pack<kWidth>(residual + at); },
               [&](std::size_t, Elements& sum, const Elements& added) { add_pack(sum, added); });
  }

  /// Calls visit(pack) for this thread's packs.
  template <typename Visit>
  __device__ void for_each(const Visit& visit) const {
#pragma unroll
    for (unsigned p = 0; p < kPacks; ++p)
      if (is_inside(p)) visit(packs_[p]);
  }

  /// Calls visit(column, pack, fetched), where fetch(column) loaded the last: of a batch of packs before any of them is
  /// visited.
  template <typename Fetch, typename Visit>
  __device__ void for_each(const Fetch& fetch, const Visit& visit) {
    using Fetched = decltype(fetch(std::size_t{}));
#pragma unroll
    for (unsigned batch = 0; batch < kPacks; batch += kBatch<Fetched>) {
      Fetched fetched[kBatch<Fetched>];
#pragma unroll
      for (unsigned p = 0; p < kBatch<Fetched>; ++p)
        if (is_inside(batch + p)) fetched[p] = fetch(column(batch + p));
#pragma unroll
      for (unsigned p = 0; p < kBatch<Fetched>; ++p)
        if (is_inside(batch + p)) visit(column(batch + p), packs_[batch + p], fetched[p]);
    }
  }

 private:
  static constexpr unsigned kPacks = kElements / kWidth;
  // Packs of a batch. Their registers come on top of the row's: more of them, and fewer warps find room.
  template <typename Fetched>
  static constexpr unsigned kBatch = kElements > 16 ? 8 / kWidth : 64 / sizeof(Fetched);
  // In 64 bits, which do not wrap around: so the packs lie at fixed distances from one address.
  __device__ std::size_t column(unsigned pack) const { return std::size_t{first_} + pack * kWarpSize * kWidth; }
  __device__ bool is_inside(unsigned pack) const { return first_ + pack * kWarpSize * kWidth < columns_; }

  unsigned columns_, first_;
  Elements packs_[kPacks];
};

/// The same of a row that is read again by every pass, every `step`-th element from `first` on a pack of this thread's.
template <unsigned kWidth>
class ReadRow {
 public:
  using Elements = Pack<float, kWidth>;

  __device__ ReadRow(const float* x, const float* residual, unsigned columns, unsigned first, unsigned step)
      : x_(x), residual_(residual), columns_(columns), first_(first), step_(step) {}

  template <typename Visit>
  __device__ void for_each(const Visit& visit) const {
    for (unsigned column = first_; column < columns_; column += step_) visit(load(column));
  }

  template <typename Fetch, typename Visit>
  __device__ void for_each(const Fetch& fetch, const Visit& visit) const {
    for (unsigned column = first_; column < columns_; column += step_) visit(column, load(column), fetch(column));
  }

 private:
  __device__ Elements load(unsigned column) const {
    auto pack = load_pack<kWidth>(x_ + column);
    if (residual_) add_pack(pack, load_pack<kWidth>(residual_ + column));
    return pack;
  }

  const float *x_, *residual_;
  unsigned columns_, first_, step_;
};

struct RowShared {
  double partial[2][most_threads(RowHolder::block) / kWarpSize];  // of two sums, one after the other
};

/// The threads that share a row. Each warp has a range of it to itself, so that a lane's packs lie at distances that
/// the compiler knows.
template <unsigned kWidth, RowHolder kHolder>
class RowThreads {
 public:
  __device__ explicit RowThreads(std::size_t rows) {
    const unsigned warp = threadIdx.x / kWarpSize;
    row_ = is_warp(kHolder) ? std::size_t{blockIdx.x} * (blockDim.x / kWarpSize) + warp : blockIdx.x;
    has_row_ = row_ < rows;
  }

  __device__ std::size_t row() const { return row_; }
  __device__ bool has_row() const { return has_row_; }  // the same for all that share one

  /// The row of x, plus that of a residual where it is not null.
  __device__ auto hold(const float* x, const float* residual, std::size_t columns) const {
    const auto count = static_cast<unsigned>(columns);
    if constexpr (kHolder == RowHolder::nobody) {
      return ReadRow<kWidth>(x, residual, count, threadIdx.x * kWidth, blockDim.x * kWidth);
    } else {
      constexpr unsigned kElements = held_elements(kHolder, kWidth);
      const unsigned warp = is_warp(kHolder) ? 0 : threadIdx.x / kWarpSize;
      return HeldRow<kWidth, kElements>(x, residual, count,
                                        warp * kWarpSize * kElements + threadIdx.x % kWarpSize * kWidth);
    }
  }

  /// The sum over the row's threads, the same bits in each. All of them call it, at most once for each kIndex < 2.
  template <unsigned kIndex, typename Number>
  __device__ Number sum(Number value) const {
    value = warp_sum(value);
    if constexpr (is_warp(kHolder)) return value;
    auto& partial = shared_memory<RowShared>().partial[kIndex];
    if (threadIdx.x % kWarpSize == 0) partial[threadIdx.x / kWarpSize] = value;
    __syncthreads();
    const unsigned lane = threadIdx.x % kWarpSize;
    return warp_sum(lane < blockDim.x / kWarpSize ? static_cast<Number>(partial[lane]) : Number{0});
  }

 private:
  std::size_t row_;
  bool has_row_;
};

/// Launches kernel<kWidth, kHolder>(args) for args.x, where `kernels` names the kernel: kernels.template get<W, H>().
template <typename Args, typename Kernels>
void launch_rows(const char* name, const Args& args, const RowConfig& config, cudaStream_t stream,
                 const Kernels& kernels) {
  const auto launch_as = [&]<unsigned kWidth>(std::integral_constant<unsigned, kWidth>) {
    const bool of_warps = is_warp(config.holder);
    const std::size_t rows_per_block = of_warps ? config.threads / kWarpSize : 1;
    const LaunchShape shape{.blocks = static_cast<unsigned>((args.x.rows + rows_per_block - 1) / rows_per_block),
                            .threads = config.threads,
                            .shared_bytes = of_warps ? 0 : sizeof(RowShared)};
    const auto kernel = [&] {
      switch (config.holder) {
        case RowHolder::warp:
          return kernels.template get<kWidth, RowHolder::warp>();
        case RowHolder::wide_warp:
          return kernels.template get<kWidth, RowHolder::wide_warp>();
        case RowHolder::block:
          return kernels.template get<kWidth, RowHolder::block>();
        case RowHolder::wide_block:
          return kernels.template get<kWidth, RowHolder::wide_block>();
        case RowHolder::nobody:
          break;
      }
      return kernels.template get<kWidth, RowHolder::nobody>();
    }();
    launch(name, kernel, shape, stream, args);
  };
  if (config.vector_width == 4)
    launch_as(std::integral_constant<unsigned, 4>());
  else
    launch_as(std::integral_constant<unsigned, 1>());
}

}  // namespace lexiscope::cuda
