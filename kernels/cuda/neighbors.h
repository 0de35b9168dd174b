// Exact nearest neighbours in two steps. A pass over all pairs in bf16 on tensor cores proposes: it drops what a proven
// bound excludes (neighbors_candidates.h). What is left, little more than k points a query, is measured in double,
// which alone decides. A query with too many candidates (thousands of near duplicates), or all of them where the lists
// are longer than candidates are kept, is measured against all points in double.
#pragma once

#include <cstddef>

#include "kernels/cuda/neighbors_candidates.h"
#include "lexiscope/ops/neighbors.h"

namespace lexiscope::cuda {

struct NeighborsConfig {
  bool filters;                   ///< false: all distances in double
  std::size_t variant;            ///< of candidates_variant()
  unsigned slices;                ///< of a row in the table
  std::size_t queries_per_chunk;  ///< that one call of neighbors() takes; a multiple of kTileRows
  unsigned exhaustive_blocks;     ///< that measure queries against all points, each with room for all distances of one
};

/// A function of the shape and the device: the first variant whose row, list and shared memory fit; queries a chunk so
/// many that its blocks fill the device twice.
NeighborsConfig choose_neighbors_config(std::size_t N, std::size_t M, std::size_t d, std::size_t k,
                                        const cudaDeviceProp& device);

/// Bytes that the calls below share: 2 d padded to whole slices, and 24, a point; 8 a candidate that a chunk may keep;
/// 8 N a block of the exhaustive ones.
std::size_t neighbors_workspace(const NeighborsArgs& args, const NeighborsConfig& config);

/// Enqueues on `stream` what comes before all chunks, and returns. N >= 1 and M >= 1; all memory is the device's, the
/// workspace aligned to 256 bytes. Throws Error{kDevice} where a launch is refused.
void prepare_neighbors(const NeighborsArgs& args, const NeighborsConfig& config, void* workspace, cudaStream_t stream);

/// Enqueues the lists of queries [first, last), a chunk of the configuration's size from a multiple of that on.
void neighbors(const NeighborsArgs& args, const NeighborsConfig& config, std::size_t first, std::size_t last,
               void* workspace, cudaStream_t stream);

}  // namespace lexiscope::cuda
