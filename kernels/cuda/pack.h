// Neighbouring elements that one load or store moves, up to 16 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simt/cuda.h"

namespace lexiscope::cuda {

template <typename Element, unsigned kWidth>
struct alignas(kWidth * sizeof(Element)) Pack {
  Element values[kWidth];
};

template <unsigned kWidth, typename Element>
__device__ Pack<Element, kWidth> load_pack(const Element* from) {
  return *reinterpret_cast<const Pack<Element, kWidth>*>(from);
}

/// The same where it is not known to be `whole`, on its boundary and with all of its elements; the first `count` of
/// them otherwise, and zeros.
template <unsigned kWidth, typename Element>
__device__ Pack<Element, kWidth> load_pack_part(const Element* from, bool whole, std::size_t count) {
  if (whole) return load_pack<kWidth>(from);
  Pack<Element, kWidth> pack{};
#pragma unroll
  for (unsigned k = 0; k < kWidth; ++k)
    if (k < count) pack.values[k] = from[k];
  return pack;
}

template <typename Element, unsigned kWidth>
__device__ void store_pack(Element* to, const Pack<Element, kWidth>& pack) {
  *reinterpret_cast<Pack<Element, kWidth>*>(to) = pack;
}

/// Whether rows that begin at `data`, `stride` elements apart, all begin on a boundary of kWidth elements.
template <unsigned kWidth, typename Element>
bool rows_hold_packs(const Element* data, std::size_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % (kWidth * sizeof(Element)) == 0 && stride % kWidth == 0;
}

}  // namespace lexiscope::cuda
