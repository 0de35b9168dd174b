#include "bench/inputs.h"

#include <algorithm>
#include <random>

namespace lexiscope::bench {

std::vector<float> normal_values(std::size_t count, unsigned seed) {
  constexpr std::size_t kBlock = 65536;  // values of one generator
  std::vector<float> values(count);
#pragma omp parallel for
  for (std::size_t first = 0; first < count; first += kBlock) {
    std::seed_seq sequence{seed, static_cast<unsigned>(first / kBlock)};
    std::mt19937 random(sequence);
    std::normal_distribution<float> normal;
    std::generate(values.data() + first, values.data() + std::min(first + kBlock, count),
                  [&] { return normal(random); });
  }
  return values;
}

}  // namespace lexiscope::bench
