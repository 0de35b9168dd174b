// Packing a weight matrix: once a model, so plain loops over threads.
#include "kernels/cpu/packed_weights.h"

namespace lexiscope::cpu {

void pack_weights(MatrixView<const float> weight, const PackedWeights& layout, float* packed, int threads) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
  for (std::size_t block = 0; block < layout.blocks(); ++block)
    for (std::size_t panel = 0; panel < layout.panels(); ++panel) {
      float* to = packed + layout.offset(block, panel);
      for (std::size_t k = 0; k < layout.depth(block); k += layout.steps_in_word, to += kPanelColumns) {
        for (std::size_t j = 0; j < layout.columns(panel); ++j) {
          const float* const at = weight.row(panel * kPanelColumns + j) + block * kBlockDepth + k;
          const bool paired = k + 1 < layout.depth(block);
          to[j] = layout.steps_in_word == 1 ? *at : bf16_word(at[0], paired ? at[1] : 0.0f);
        }
        std::fill(to + layout.columns(panel), to + kPanelColumns, 0.0f);
      }
    }
}

}  // namespace lexiscope::cpu
