// What the kernels over attention's scores have in common: a head's rows of queries and keys, and which pairs of them
// count. Args is AttentionArgs or AttentionMapArgs: their scores have the same fields.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/row_products.cuh"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cuda {

template <typename Element>
__device__ Rows<Element> rows_of(const ConstTensorView& tensor, std::size_t head) {
  return {.data = static_cast<const Element*>(tensor.data) + head * tensor.strides[0],
          .stride = tensor.strides[1],
          .count = static_cast<unsigned>(tensor.shape[1]),
          .columns = static_cast<unsigned>(tensor.shape[2])};
}

/// The key head that a query head reads.
template <typename Args>
__device__ std::size_t key_head_of(const Args& args, std::size_t head) {
  return head / (args.query.shape[0] / args.key.shape[0]);
}

/// Whether the kernels may take a tensor's rows in pieces of 16 bytes.
inline bool has_aligned_rows(const ConstTensorView& tensor) {
  const std::size_t piece = sizeof(uint4) / size_of(tensor.dtype);
  return reinterpret_cast<std::uintptr_t>(tensor.data) % sizeof(uint4) == 0 && tensor.strides[0] % piece == 0 &&
         tensor.strides[1] % piece == 0 && tensor.shape[2] % piece == 0;
}

/// Which keys a query sees.
struct Visibility {
  const std::uint8_t* padding;  // null for none
  unsigned queries, keys;
  bool causal;

  template <typename Args>
  explicit __device__ Visibility(const Args& args)
      : padding(args.key_padding.data),
        queries(static_cast<unsigned>(args.query.shape[1])),
        keys(static_cast<unsigned>(args.key.shape[1])),
        causal(args.mask == AttentionMask::causal) {}

  __device__ bool operator()(unsigned query, unsigned key) const {
    if (key >= keys || (causal && key + queries > query + keys)) return false;
    return padding == nullptr || padding[key] != 0;
  }

  /// The keys below this are all that queries up to `last` may see.
  __device__ unsigned keys_seen_to(unsigned last) const {
    if (!causal) return keys;
    return last + keys + 1 > queries ? min(last + keys + 1 - queries, keys) : 0;
  }
};

}  // namespace lexiscope::cuda
