// How rows that are normalised are spread over threads: which of them hold a row, and how wide they load.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

namespace lexiscope::cuda {

/// Whose registers hold a row between the passes over it.
enum class RowHolder { warp, block, nobody };

/// Elements of a row that one thread holds at most, and threads of a block at most. So the registers of a warp hold
/// rows of 1,024 elements, those of a block 32,768 (16,384 where loads are of one element, each with a predicate of its
/// own); wider rows are read again by every pass.
constexpr unsigned held_elements(RowHolder holder, unsigned vector_width) {
  return holder == RowHolder::warp || vector_width == 1 ? 32 : 64;
}
constexpr unsigned most_threads(RowHolder holder) { return holder == RowHolder::warp ? 256 : 512; }

struct RowConfig {
  RowHolder holder;
  unsigned threads;       ///< a block
  unsigned vector_width;  ///< floats a load: 4 where columns, strides and pointers allow loads of 128 bits, else 1
};

/// `wide` where loads of 128 bits are allowed. A row of a block is shared by as many threads as have 16 elements of it.
inline RowConfig choose_row_config(std::size_t rows, std::size_t columns, bool wide, const cudaDeviceProp& device) {
  constexpr unsigned kWarp = 32, kMost = most_threads(RowHolder::block);
  const unsigned width = wide ? 4 : 1;
  if (columns <= held_elements(RowHolder::warp, width) * kWarp) {
    // Few rows are spread over the multiprocessors; of many, a block has several.
    const auto processors = static_cast<std::size_t>(device.multiProcessorCount);
    const auto warps = std::clamp<std::size_t>(rows / processors, 1, most_threads(RowHolder::warp) / kWarp);
    return {RowHolder::warp, static_cast<unsigned>(warps) * kWarp, width};
  }
  if (columns > std::size_t{held_elements(RowHolder::block, width)} * kMost) return {RowHolder::nobody, kMost, width};
  const auto warps = static_cast<unsigned>((columns + 16 * kWarp - 1) / (16 * kWarp));
  return {RowHolder::block, std::min(warps * kWarp, kMost), width};
}

}  // namespace lexiscope::cuda
