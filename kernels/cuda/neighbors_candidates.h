// The pass of a neighbour search over all pairs: bf16 products on tensor cores, of which every query keeps those points
// that a proven bound does not exclude. The distances are never written.
#pragma once

#include "kernels/cuda/neighbors_table.h"

namespace lexiscope::cuda {

struct alignas(8) Candidate {
  float score;  ///< x'_i . x'_j - norm(x'_j)^2 / 2, as the tensor cores sum it
  std::int32_t point;
};

inline constexpr int kTooMany = -1;  ///< a query's count: more points are within its bound than it may keep

/// One kernel each.
struct CandidatesVariant {
  unsigned slices;    ///< of a query's row in shared memory; 0: queries pass by as the points do, any number of slices
  unsigned stages;    ///< slots of slices in shared memory
  unsigned capacity;  ///< of candidates, a query
  std::size_t shared_bytes;
};

inline constexpr std::size_t kMostCandidatesVariants = 6;
/// Null past the last. Those of fewer slices and smaller capacities come first.
const CandidatesVariant* candidates_variant(std::size_t number);

/// The most neighbours that lists of this capacity are for: past these come the points that a bound cannot tell from
/// the nearest, and a tile of points, which may all be candidates.
constexpr unsigned most_neighbors(unsigned capacity) { return capacity / 2 - kTileRows / 2; }

struct CandidatesArgs {
  NeighborsTable table;
  std::size_t points;       ///< N
  std::size_t queries;      ///< of the chunk
  std::size_t first_query;  ///< its first among all
  unsigned slices, neighbors;
  bool self;                  ///< queries are points, and no candidates of themselves
  Candidate* candidates;      ///< [queries][capacity]
  int* counts;                ///< [queries]: candidates left, or kTooMany
  unsigned* overflows;        ///< how many of the chunk have kTooMany; 0 before
  std::int32_t* overflowing;  ///< [queries]: which, in no particular order
};

/// Enqueues the pass on `stream`. Of queries that are points, `first_query` is a multiple of kTileRows.
void find_candidates(const CandidatesArgs& args, std::size_t variant, cudaStream_t stream);

}  // namespace lexiscope::cuda
