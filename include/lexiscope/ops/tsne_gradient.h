// The gradient of t-SNE and the step that follows it, on affinities that the engine holds in its own layout.
#pragma once

#include <cstdint>
#include <string_view>

#include "lexiscope/ops/affinities.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

enum class Repulsion : std::uint8_t {
  automatic,  ///< exact for few points, grid where it is faster
  exact,      ///< all pairs: O(N^2)
  grid,       ///< B-spline charge grid, with an exact near field where the map is sparse: O(N + G log G); the relative
              ///< force error (root mean square over the map) is at most 5e-3 on maps of a thousand points or more
};

/// What an engine prepares once for the gradients of one t-SNE: the affinities in its own layout, and the workspace.
/// Made by Engine::plan_tsne; usable on that engine alone, by one thread at a time.
class TsnePlan {
 public:
  TsnePlan(std::size_t points, std::size_t dimensions, std::string_view engine)
      : points_(points), dimensions_(dimensions), engine_(engine) {}
  TsnePlan(const TsnePlan&) = delete;
  TsnePlan& operator=(const TsnePlan&) = delete;
  virtual ~TsnePlan() = default;

  std::size_t points() const noexcept { return points_; }
  std::size_t dimensions() const noexcept { return dimensions_; }
  std::string_view engine() const noexcept { return engine_; }

 private:
  std::size_t points_, dimensions_;
  std::string_view engine_;
};

/// Throws Error{kInvalidArgument} where dimensions is not 2 or 3, N < 2, or the affinities are malformed.
struct TsnePlanArgs {
  const SparseMatrix* affinities = nullptr;  ///< [N, N]; need not outlive the plan, and must not change meanwhile
  std::size_t dimensions = 2;                ///< 2 or 3
  Repulsion repulsion = Repulsion::automatic;
};

/// gradient_i = exaggeration * sum_j p_ij q_ij (y_i - y_j) - (1/Z) sum_j q_ij^2 (y_i - y_j), with
/// q_ij = 1 / (1 + norm(y_i - y_j)^2) and Z = sum over i != j of q_ij. This is openTSNE's gradient; the derivative of
/// KL(P, Q), and scikit-learn's, is 4 times it (van der Maaten and Hinton 2008, eq. 5).
///
/// Throws Error{kInvalidArgument} where a shape disagrees, the plan belongs to another engine, or a coordinate is not
/// finite or beyond 1e15 in magnitude; Error{kUnsupported} where repulsion is grid and the map is so wide beside the
/// kernel that its grid would need more than 2^28 nodes, some GiB (exact and automatic serve every map).
struct TsneGradientArgs {
  TsnePlan* plan = nullptr;
  MatrixView<const float> positions{};  ///< [N, dimensions], dense (stride = dimensions)
  float exaggeration = 1;
  MatrixView<float> gradient{};     ///< [N, dimensions] out, dense
  double* normalization = nullptr;  ///< out: Z (host memory); null for none
};

/// `iterations` times: g = gradient; gain = 0.8 gain + min_gain where g and update have the same sign (both 0 counts),
/// else gain + 0.2; update = momentum * update - learning_rate * gain * g, each point's update shortened to
/// max_step_norm where it is longer; positions += update, and their mean is taken off. openTSNE 1.0.4's gradient
/// descent.
///
/// Its whole schedule: 250 iterations with exaggeration 12 and learning rate N / 12, then 500 with exaggeration 1 and
/// learning rate N, momentum 0.8 in both; update and gains go on from one phase into the next, they are not reset.
/// The path depends on positions, update and gains alone, so that a run continued from them takes the same one.
///
/// Throws as TsneGradientArgs does, and Error{kInvalidArgument} where update or gains hold NaN or infinity or a factor
/// is out of range.
struct TsneStepArgs {
  TsnePlan* plan = nullptr;
  MatrixView<float> positions{};  ///< [N, dimensions] in and out, dense
  MatrixView<float> update{};     ///< [N, dimensions] in and out, dense; 0 at the start
  MatrixView<float> gains{};      ///< [N, dimensions] in and out, dense; 1 at the start
  std::size_t iterations = 1;
  float exaggeration = 1;
  float learning_rate = 0;  ///< openTSNE's: N / exaggeration by default
  float momentum = 0.8f;
  float max_step_norm = 5;  ///< in the unit of the map
  float min_gain = 0.01f;
};

}  // namespace lexiscope
