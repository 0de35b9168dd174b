// Packing a weight matrix: once a model, so plain loops over threads.
#include "kernels/cpu/packed_weights.h"

namespace lexiscope::cpu {

void pack_weights(MatrixView<const float> weight, const PackedWeights& layout, float* packed, int threads) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
  for (std::size_t block = 0; block < layout.blocks(); ++block)
    for (std::size_t panel = 0; panel < layout.panels(); ++panel) {
      float* to = packed + layout.offset(block, panel);
      for (std::size_t k = 0; k < layout.depth(block); ++k, to += kPanelColumns) {
        for (std::size_t j = 0; j < layout.columns(panel); ++j)
          to[j] = weight.row(panel * kPanelColumns + j)[block * kBlockDepth + k];
        std::fill(to + layout.columns(panel), to + kPanelColumns, 0.0f);
      }
    }
}

}  // namespace lexiscope::cpu
