// A t-SNE map as the cuda kernels hold it: a point's coordinates side by side, so that one load brings all of them, and
// the status through which iterations run one behind the other without the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/tsne_config.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

inline constexpr float kTsneFarthest = 1e15f;  ///< the largest coordinate allowed: squares of distances stay finite

template <unsigned kDimensions>
struct alignas(kDimensions == 2 ? 8 : 16) TsnePoint {
  static constexpr unsigned kPitch = kDimensions == 2 ? 2 : 4;  // floats; the fourth of a point in 3-D is 0
  float at[kPitch];
};

/// One entry of the affinities' compressed rows.
struct alignas(8) TsneEdge {
  std::uint32_t column;
  float value;
};

struct TsneParameters {
  float exaggeration = 1, learning_rate = 0, momentum = 0, max_step_norm = 0, min_gain = 0;
};

/// What is wrong with a call's arrays.
enum TsneFault : unsigned { kTsnePositionsFault = 1, kTsneUpdateFault = 2, kTsneGainsFault = 4 };

/// In device memory: what kernels tell the following ones, and the host once a call. The host writes a fresh one first.
struct TsneStatus {
  TsneParameters parameters{};
  unsigned faults = 0;      ///< of TsneFault
  unsigned iterations = 0;  ///< done in this call
  unsigned active = 0;      ///< whether kernels are to do their work: nothing is wrong, and the repulsion at hand fits
  unsigned moved = 0;       ///< whether the last iteration was an active one
  TsneConfig wanted{};      ///< the repulsion for the map as it is now
  float low[3] = {}, high[3]{};  ///< the box around the map
  float mean[3] = {};            ///< of the moved map, about to be taken off
  float repulsion_scale = 0;     ///< 1 / Z
  double normalization = 0;      ///< Z
};

/// Arrays of device memory. Points are at most 2^30.
struct TsneState {
  unsigned points = 0;
  unsigned dimensions = 2;
  float* position = nullptr;  ///< [points] TsnePoint
  float* moved = nullptr;     ///< [points] TsnePoint: after a step, before the mean is taken off
  float* force = nullptr;     ///< [points] TsnePoint: sum_j q_ij^2 (y_i - y_j)
  float* update = nullptr;    ///< [points, dimensions]
  float* gain = nullptr;      ///< [points, dimensions]
  double* sums = nullptr;     ///< [dimensions, partials()]: of each block's moved positions
  int* highs = nullptr;       ///< [dimensions, partials()]: the largest coordinate of each block, see ordered()
  int* lows = nullptr;        ///< [dimensions, partials()]: the largest of its negative
  TsneStatus* status = nullptr;

  static constexpr unsigned kBlockPoints = 192;  // that share one partial sum
  __host__ __device__ unsigned partials() const { return (points + kBlockPoints - 1) / kBlockPoints; }
  __host__ __device__ unsigned pitch() const { return dimensions == 2 ? 2 : 4; }

  template <unsigned kDimensions>
  __device__ TsnePoint<kDimensions>* positions() const {
    return reinterpret_cast<TsnePoint<kDimensions>*>(position);
  }
};

/// Floats as integers of the same order, so that a maximum is the same in whatever order it is taken.
__device__ inline int ordered(float value) {
  const int bits = __float_as_int(value);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}
__device__ inline float from_ordered(int value) { return __int_as_float(value < 0 ? value ^ 0x7fffffff : value); }
inline constexpr int kLeastOrdered = -0x7fffffff - 1;

}  // namespace lexiscope::cuda
