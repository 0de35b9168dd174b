// The rotary embedding as the paper writes it, pair by pair in double.
#include "kernels/reference/rotary_embedding.h"

namespace lexiscope::reference {

void rotary_embedding(const RotaryEmbeddingArgs& args) {
  const std::size_t head_size = args.x.columns / args.heads, pairs = args.cosine.columns;
  const bool halves = args.layout == RotaryLayout::halves;
  for (std::size_t t = 0; t < args.x.rows; ++t)
    for (std::size_t head = 0; head < args.heads; ++head)
      for (std::size_t i = 0; i < pairs; ++i) {
        float* elements = args.x.row(t) + head * head_size;
        float& first = elements[halves ? i : 2 * i];
        float& second = elements[halves ? i + pairs : 2 * i + 1];
        const double a = first, b = second, cosine = args.cosine.row(t)[i], sine = args.sine.row(t)[i];
        first = static_cast<float>(a * cosine - b * sine);
        second = static_cast<float>(b * cosine + a * sine);
      }
}

}  // namespace lexiscope::reference
