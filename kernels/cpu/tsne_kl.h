#pragma once

#include <array>
#include <cstddef>

#include "kernels/cpu/context.h"
#include "lexiscope/ops/tsne_kl.h"

namespace lexiscope::cpu {

/// A map as one padded array of doubles a coordinate, and what the rows of the divergence add up to.
struct TsneKlWork {
  std::size_t points = 0, dimensions = 2;
  std::array<double*, 3> position{};
  double* row_sums = nullptr;  ///< [points]
};

std::size_t tsne_kl_workspace(std::size_t points, std::size_t dimensions);

/// Lays the map out in the context's workspace.
TsneKlWork start_tsne_kl(const TsneKlArgs& args, const Context& context);

/// sum over rows first <= i < last and j > i of 1 / (1 + norm(y_i - y_j)^2): half of Z's share.
double tsne_kl_pairs(const TsneKlWork& work, std::size_t first, std::size_t last, const Context& context);

/// The divergence, from sums over the affinities and the Z of all pairs.
double finish_tsne_kl(const TsneKlArgs& args, const TsneKlWork& work, double normalization, const Context& context);

}  // namespace lexiscope::cpu
