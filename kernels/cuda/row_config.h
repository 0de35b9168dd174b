// How rows that are normalised are spread over threads: which of them hold a row, and how wide they load.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>

namespace lexiscope::cuda {

/// Whose registers hold a row between the passes over it. Those called wide have more of it a thread, so that fewer
/// threads fit a multiprocessor: a row takes the first that holds it.
enum class RowHolder { warp, wide_warp, block, wide_block, nobody };

constexpr bool is_warp(RowHolder holder) { return holder == RowHolder::warp || holder == RowHolder::wide_warp; }

/// Elements of a row that one thread holds at most, and threads of a block at most. So the registers of a warp hold
/// rows of 512 or 1,024 elements, those of a block 8,192 or 32,768 (16,384 where loads are of one element, each with a
/// predicate of its own); wider rows are read again by every pass.
constexpr unsigned held_elements(RowHolder holder, unsigned vector_width) {
  if (holder == RowHolder::warp || holder == RowHolder::block) return 16;
  return holder == RowHolder::wide_warp || vector_width == 1 ? 32 : 64;
}
constexpr unsigned most_threads(RowHolder holder) { return is_warp(holder) ? 256 : 512; }
/// Of the largest blocks, how many find registers on a multiprocessor at once.
constexpr unsigned least_blocks(RowHolder holder, unsigned vector_width) {
  if (holder == RowHolder::wide_warp) return vector_width == 1 ? 2 : 4;
  return holder == RowHolder::block ? 2 : 1;
}

struct RowConfig {
  RowHolder holder;
  unsigned threads;       ///< a block
  unsigned vector_width;  ///< floats a load: 4 where columns, strides and pointers allow loads of 128 bits, else 1
};

/// `wide` where loads of 128 bits are allowed. A row of a block has as many warps as it fills.
inline RowConfig choose_row_config(std::size_t rows, std::size_t columns, bool wide, const cudaDeviceProp& device) {
  constexpr unsigned kWarp = 32;
  const unsigned width = wide ? 4 : 1;
  for (const RowHolder holder : {RowHolder::warp, RowHolder::wide_warp, RowHolder::block, RowHolder::wide_block}) {
    const std::size_t of_warp = held_elements(holder, width) * kWarp, most = most_threads(holder) / kWarp;
    const std::size_t filled = (columns + of_warp - 1) / of_warp;
    if (filled > (is_warp(holder) ? 1 : most)) continue;
    // Few rows are spread over the multiprocessors; of many that are a warp's, a block has several.
    const auto processors = static_cast<std::size_t>(device.multiProcessorCount);
    const auto warps = is_warp(holder) ? std::clamp<std::size_t>(rows / processors, 1, most) : filled;
    return {holder, static_cast<unsigned>(warps) * kWarp, width};
  }
  return {RowHolder::nobody, most_threads(RowHolder::nobody), width};
}

}  // namespace lexiscope::cuda
