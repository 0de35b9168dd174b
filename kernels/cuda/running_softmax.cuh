// The log-sum-exp and the entropy of scores that are met one after the other: weights are taken relative to a
// reference, which is raised when a score passes it by more than 2^8, and what was summed is rescaled then.
#pragma once

#include <cmath>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/warp.h"
#include "simt/cuda.h"

namespace lexiscope::cuda {

struct RunningSoftmax {
  static constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

  float reference = -INFINITY;  ///< of the exponents, in binary orders
  float sum = 0;                ///< of the weights p = 2^t, t = s log2(e) - reference
  float moment = 0;             ///< of p t

  /// Raises the reference if `largest` asks for it; to be called before scores up to that are added. Returns what
  /// earlier weights are to be multiplied with.
  __device__ float raise(float largest) {
    const float top = largest * kLog2E;
    return top > reference + 8 ? rescale(top) : 1;
  }

  /// Adds scores and turns them into their weights. -infinity has weight 0.
  template <unsigned kCount>
  __device__ void add(float (&scores)[kCount]) {
    const float base = has_reference() ? reference : 0;
    float scores_sum = 0, scores_moment = 0;
#pragma unroll
    for (float& x : scores) {
      // 2^-1000 is 0 in f32, and 0 * -1000 is 0 where 0 * -infinity would be NaN.
      const float exponent = fmaxf(fmaf(x, kLog2E, -base), -1000.0f);
      x = exp2_approx(exponent);
      scores_sum += x;
      scores_moment = fmaf(x, exponent, scores_moment);
    }
    sum += scores_sum;
    moment += scores_moment;
  }

  /// Adds what another one has seen.
  __device__ void combine(RunningSoftmax other) {
    if (!other.has_reference()) return;
    if (other.reference > reference)
      rescale(other.reference);
    else
      other.rescale(reference);
    sum += other.sum;
    moment += other.moment;
  }

  /// The state of the lane whose number differs in the bits `lanes`.
  __device__ RunningSoftmax across(unsigned lanes) const {
    return {__shfl_xor_sync(kWholeWarp, reference, lanes), __shfl_xor_sync(kWholeWarp, sum, lanes),
            __shfl_xor_sync(kWholeWarp, moment, lanes)};
  }

  __device__ bool has_reference() const { return reference != -INFINITY; }
  __device__ float log_sum_exp() const { return has_reference() ? fmaf(reference, kLn2, logf(sum)) : -INFINITY; }
  __device__ float entropy() const { return has_reference() ? fmaxf(logf(sum) - kLn2 * (moment / sum), 0.0f) : 0; }

 private:
  __device__ float rescale(float to) {
    const float shift = reference - to, factor = exp2_approx(shift);
    if (has_reference()) moment = fmaf(shift, sum, moment);  // shift is -infinity otherwise
    moment *= factor;
    sum *= factor;
    reference = to;
    return factor;
  }
};

}  // namespace lexiscope::cuda
