// Attention forward on tensor cores in bf16 and f16, after FlashAttention-2 (Dao 2023): a block of threads owns some
// queries of one head and streams the keys and values past them, so the map is never held.
//
//   order     the last block of keys comes first: those that need a mask (the diagonal, the ragged end) are done
//             before a loop that tests nothing
//   shared    rows of head_dim elements in chunks of 16 bytes, whose order within a row depends on the row, so that
//             eight rows of one column lie in different banks
//   warp      row_tiles x 16 queries: scores S and output O lie in registers as mma.sync leaves them. A lane holds, of
//             each 16 x 8 tile, columns 2 (lane % 4) + {0, 1} of rows lane / 4 and lane / 4 + 8
//   softmax   p = 2^((s - reference) scale log2 e), one FMA and one exponential an element. The reference is raised
//             only where a score passes it by more than 2^8: a vote in place of a reduction and a rescaling. Sums stay
//             in their lanes until the end
//   moment    sum p t, t the exponent, so that the row's entropy is ln sum p - ln 2 (sum p t) / (sum p)
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/attention_config.h"
#include "kernels/cuda/instructions.h"
#include "lexiscope/ops/attention.h"

namespace lexiscope::cuda {

/// Positions of 16-byte chunks in a tile of rows of kHeadDim 16-bit elements.
template <int kHeadDim>
struct SwizzledRows {
  static constexpr int kChunks = kHeadDim / 8, kRowBytes = kHeadDim * 2;
  static constexpr int kSpread = kHeadDim % 64 == 0 ? 8 : 4;  // neighbouring chunks that trade places

  __device__ static int permutation(int row) { return kSpread == 8 ? row & 7 : (row >> 1) & 3; }
  __device__ static int offset(int row, int chunk) { return row * kRowBytes + ((chunk ^ permutation(row)) << 4); }
};

/// One lane's addresses for ldmatrix within a tile: row `row` of each 16, chunk 2 k + half of it for k = 0, 1, ... The
/// swizzle moves the low bits of a chunk's number alone and tiles lie on 128 bytes, so k turns those bits of one
/// address.
template <int kHeadDim>
struct FragmentAddresses {
  using Rows = SwizzledRows<kHeadDim>;
  static constexpr int kTurns = Rows::kSpread / 2;
  SharedAddress first;

  __device__ __forceinline__ FragmentAddresses(SharedAddress tile, int row, int half)
      : first(tile + Rows::offset(row, half)) {}
  __device__ __forceinline__ FragmentAddresses operator+(int bytes) const {
    FragmentAddresses moved = *this;
    moved.first = first + bytes;
    return moved;
  }

  /// k counts 16 columns, `group` 16 rows.
  __device__ __forceinline__ SharedAddress at(int k, int group) const {
    return (first ^ (k % kTurns << 5)) + (k / kTurns * Rows::kSpread * 16 + group * 16 * Rows::kRowBytes);
  }
};

template <AttentionTile kTile>
struct AttentionShared {
  alignas(128) std::uint16_t query[kTile.rows() * kTile.head_dim];
  alignas(128) std::uint16_t key[kTile.stages][kTile.keys * kTile.head_dim];
  alignas(128) std::uint16_t value[kTile.stages][kTile.keys * kTile.head_dim];
};

template <typename Element>
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high) {
  if constexpr (std::is_same_v<Element, __half>) return pack_f16x2(low, high);
  return pack_bf16x2(low, high);
}

template <typename Element>
__device__ __forceinline__ void multiply_add(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
  if constexpr (std::is_same_v<Element, __half>)
    mma_m16n8k16_f16(sum, a, b0, b1);
  else
    mma_m16n8k16_bf16(sum, a, b0, b1);
}

/// Copies rows of one head from global to swizzled shared memory; each thread always copies the same chunk of a row.
template <AttentionTile kTile>
struct RowCopier {
  using Rows = SwizzledRows<kTile.head_dim>;
  static constexpr int kThreads = kAttentionWarps * 32;
  static constexpr int kRowsAtOnce = kThreads / Rows::kChunks >= 8 ? 8 * (kThreads / Rows::kChunks / 8) : 4;
  static_assert(kTile.keys % kRowsAtOnce == 0 && kTile.rows() % kRowsAtOnce == 0);

  int row = threadIdx.x / Rows::kChunks, chunk = threadIdx.x % Rows::kChunks;
  bool takes_part = row < kRowsAtOnce;
  bool in_head;  // the chunk holds elements of the head, not the tile's zeros

  __device__ __forceinline__ explicit RowCopier(int head_dim) : in_head(chunk * 8 < head_dim) {}

  /// This thread's chunk of row `first_row`.
  __device__ __forceinline__ const std::uint16_t* source(const ConstTensorView& heads, int head, int first_row) const {
    return static_cast<const std::uint16_t*>(heads.data) + head * static_cast<std::int64_t>(heads.strides[0]) +
           (first_row + row) * static_cast<std::int64_t>(heads.strides[1]) + chunk * 8;
  }

  /// kRows rows from `from` on; where kRagged, rows past the first `rows` become 0 and are not read.
  template <int kRows, bool kRagged>
  __device__ __forceinline__ void copy(SharedAddress tile, const std::uint16_t* from, std::int64_t stride,
                                       int rows) const {
    if (Rows::kChunks * kRowsAtOnce != kThreads && !takes_part) return;
#pragma unroll
    for (int first = 0; first < kRows; first += kRowsAtOnce, from += kRowsAtOnce * stride)
      cp_async_16_or_zero(tile + Rows::offset(first + row, chunk), from, in_head && (!kRagged || first + row < rows));
  }

  /// Gives the queries the sign of the scale, so that what follows knows positive scales alone: -1 or 0 times what this
  /// thread copied, once it is there.
  __device__ __forceinline__ void give_sign(std::uint16_t* queries, float scale) const {
    cp_async_wait<0>();
    if (Rows::kChunks * kRowsAtOnce != kThreads && !takes_part) return;
    for (int first = 0; first < kTile.rows(); first += kRowsAtOnce) {
      auto& elements = *reinterpret_cast<uint4*>(reinterpret_cast<char*>(queries) + Rows::offset(first + row, chunk));
      const std::uint32_t keep = scale < 0 ? 0xffffffffu : 0, sign = scale < 0 ? 0x80008000u : 0;
      elements = make_uint4((elements.x & keep) ^ sign, (elements.y & keep) ^ sign, (elements.z & keep) ^ sign,
                            (elements.w & keep) ^ sign);
    }
  }
};

inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// The registers of a warp, and what it does with them.
template <AttentionTile kTile, typename Element, bool kStatistics>
struct AttentionRows {
  static constexpr int kRowTiles = kTile.row_tiles, kKeyTiles = kTile.keys / 8, kDepth = kTile.head_dim / 16;
  static constexpr int kQueryDepth = kTile.query_in_registers ? kDepth : 1;
  static constexpr float kSlack = 8;  // binary orders that a score may pass the reference by
  using Fragments = FragmentAddresses<kTile.head_dim>;

  float scale_log2;  // of a score, to the exponent of 2
  Fragments query_at;
  std::uint32_t query[kQueryDepth][kRowTiles][4];
  float scores[kRowTiles][kKeyTiles][4];
  float out[kRowTiles][2 * kDepth][4] = {};
  // Of rows lane / 4 and lane / 4 + 8 of each tile; all but the reference over this lane's columns alone.
  float reference[kRowTiles][2], maximum[kRowTiles][2], sum[kRowTiles][2] = {}, moment[kRowTiles][2] = {};

  __device__ __forceinline__ AttentionRows(float scale, SharedAddress queries, int warp)
      : scale_log2(scale == 0 ? 1 : fabsf(scale) * kLog2E),
        query_at(queries, warp * 16 * kRowTiles + threadIdx.x % 16, threadIdx.x / 16 % 2) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
      for (int half = 0; half < 2; ++half) reference[m][half] = maximum[m][half] = -INFINITY;
  }

  __device__ __forceinline__ void load_query(int k) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) ldmatrix_x4(query[kTile.query_in_registers ? k : 0][m], query_at.at(k, m));
  }

  __device__ __forceinline__ void multiply_key(const Fragments& key_at, int k, int group) {
    std::uint32_t key[4];
    ldmatrix_x4(key, key_at.at(k, group));
    const auto& rows = query[kTile.query_in_registers ? k : 0];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      multiply_add<Element>(scores[m][2 * group], rows[m], key[0], key[1]);
      multiply_add<Element>(scores[m][2 * group + 1], rows[m], key[2], key[3]);
    }
  }

  /// S = Q K^T. With the queries in registers 16 keys at a time, so that what follows may begin before the last are
  /// done.
  __device__ __forceinline__ void multiply_query_key(const Fragments& key_at) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j) scores[m][j][0] = scores[m][j][1] = scores[m][j][2] = scores[m][j][3] = 0;
    if constexpr (kTile.query_in_registers) {
#pragma unroll
      for (int group = 0; group < kKeyTiles / 2; ++group)
#pragma unroll
        for (int k = 0; k < kDepth; ++k) multiply_key(key_at, k, group);
    } else {
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        load_query(k);
#pragma unroll
        for (int group = 0; group < kKeyTiles / 2; ++group) multiply_key(key_at, k, group);
      }
    }
  }

  /// Scores of keys that a row does not see become -infinity: visible(row tile, half, key of the block).
  template <typename Visible>
  __device__ __forceinline__ void mask(const Visible& visible) {
    const int column = 2 * (threadIdx.x % 4);
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j)
#pragma unroll
        for (int x = 0; x < 4; ++x)
          if (!visible(m, x / 2, 8 * j + column + x % 2)) scores[m][j][x] = -INFINITY;
  }

  /// Raises the references where a score has outgrown them.
  __device__ __forceinline__ void renew_references() {
    const float slack = fminf(kSlack / scale_log2, 3e38f);  // finite: any score outgrows -infinity
    float largest[kRowTiles][2];
    bool outgrown = false;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float x = kStatistics ? maximum[m][half] : -INFINITY;
#pragma unroll
        for (int j = 0; j < kKeyTiles; ++j) x = fmaxf(x, fmaxf(scores[m][j][2 * half], scores[m][j][2 * half + 1]));
        if (kStatistics) maximum[m][half] = x;
        largest[m][half] = x;
        outgrown |= x > reference[m][half] + slack;
      }
    if (!__any_sync(0xffffffffu, outgrown)) return;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) raise_reference(m, half, largest[m][half]);
  }

  __device__ __forceinline__ void raise_reference(int m, int half, float largest) {
    float raised = fmaxf(reference[m][half], largest);
    raised = fmaxf(raised, __shfl_xor_sync(0xffffffffu, raised, 1));
    raised = fmaxf(raised, __shfl_xor_sync(0xffffffffu, raised, 2));
    const float base = raised == -INFINITY ? 0 : raised;  // no key seen yet
    const float change = (reference[m][half] - base) * scale_log2, factor = exp2_approx(change);
    if (kStatistics)  // sum p t with t and p as they are from the new reference
      moment[m][half] = factor == 0 ? 0 : factor * fmaf(change, sum[m][half], moment[m][half]);
    sum[m][half] *= factor;
    reference[m][half] = raised;
#pragma unroll
    for (int j = 0; j < 2 * kDepth; ++j) {
      out[m][j][2 * half] *= factor;
      out[m][j][2 * half + 1] *= factor;
    }
  }

  /// P = 2^((S - reference) scale), O += P V, 16 keys at a time: the exponentials of the next 16 overlap these
  /// products.
  template <bool kMasked>
  __device__ __forceinline__ void accumulate(const Fragments& value_at) {
    float offset[kRowTiles][2];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        offset[m][half] = kMasked && reference[m][half] == -INFINITY ? 0 : -reference[m][half] * scale_log2;
#pragma unroll
    for (int group = 0; group < kKeyTiles / 2; ++group) {
      std::uint32_t weights[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m)
#pragma unroll
        for (int x = 0; x < 4;
             ++x)  // of the 16 x 16 tile: columns from 8 on where x >= 2, rows from 8 on where x is odd
          weights[m][x] = weigh<kMasked>(m, x % 2, 2 * group + x / 2, offset[m][x % 2]);
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        std::uint32_t value[4];
        ldmatrix_x4_trans(value, value_at.at(k, group));
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          multiply_add<Element>(out[m][2 * k], weights[m], value[0], value[1]);
          multiply_add<Element>(out[m][2 * k + 1], weights[m], value[2], value[3]);
        }
      }
    }
  }

  /// The weights of two neighbouring scores, in the type of the product.
  template <bool kMasked>
  __device__ __forceinline__ std::uint32_t weigh(int m, int half, int j, float offset) {
    float weights[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float exponent = fmaf(scores[m][j][2 * half + i], scale_log2, offset);
      weights[i] = exp2_approx(exponent);
      sum[m][half] += weights[i];
      if (kStatistics)  // 0 * -infinity has no value
        moment[m][half] = fmaf(weights[i], kMasked ? fmaxf(exponent, -1e4f) : exponent, moment[m][half]);
    }
    return pack_pair<Element>(weights[0], weights[1]);
  }
};

/// Keys and values of one head on their way through shared memory, the last block first.
template <AttentionTile kTile>
struct KeyValueStream {
  using Copier = RowCopier<kTile>;
  static constexpr int kTileBytes = kTile.keys * kTile.head_dim * 2, kStages = kTile.stages;

  const Copier& copier;
  SharedAddress key_tile, value_tile;
  FragmentAddresses<kTile.head_dim> key_fragments, value_fragments;
  const std::uint16_t* key;  // this thread's next chunk
  std::int64_t stride, value_from_key;
  int keys, slot = 0;

  __device__ __forceinline__ KeyValueStream(const Copier& copies, AttentionShared<kTile>& shared,
                                            const AttentionArgs& args, int head, int last_block)
      : copier(copies),
        key_tile(shared_address(shared.key)),
        value_tile(shared_address(shared.value)),
        key_fragments(key_tile, threadIdx.x % 8 + threadIdx.x / 16 % 2 * 8, threadIdx.x / 8 % 2),
        value_fragments(value_tile, threadIdx.x % 16, threadIdx.x / 16 % 2),
        key(copies.source(args.key, head, last_block * kTile.keys)),
        stride(args.key.strides[1]),
        value_from_key(static_cast<const std::uint16_t*>(args.value.data) -
                       static_cast<const std::uint16_t*>(args.key.data)),
        keys(args.key.shape[1]) {}

  __device__ __forceinline__ FragmentAddresses<kTile.head_dim> key_at(int slot_at) const {
    return key_fragments + slot_at;
  }
  __device__ __forceinline__ FragmentAddresses<kTile.head_dim> value_at(int slot_at) const {
    return value_fragments + slot_at;
  }

  template <bool kRagged>
  __device__ __forceinline__ void copy_keys(SharedAddress tile, int block) {
    copier.template copy<kTile.keys, kRagged>(tile, key, stride, keys - block * kTile.keys);
  }
  /// After the keys of the same block: the next are those of the block before.
  template <bool kRagged>
  __device__ __forceinline__ void copy_values(SharedAddress tile, int block) {
    copier.template copy<kTile.keys, kRagged>(tile, key + value_from_key, stride, keys - block * kTile.keys);
    key -= kTile.keys * stride;
  }
  __device__ __forceinline__ void fill(int into, int block) {
    copy_keys<false>(key_tile + into * kTileBytes, block);
    copy_values<false>(value_tile + into * kTileBytes, block);
  }

  /// Joins the group of copies that the caller began: the queries.
  __device__ __forceinline__ void begin(int last_block) {
    copy_keys<true>(key_tile, last_block);
    if constexpr (kStages > 1) copy_values<true>(value_tile, last_block);
    cp_async_commit();
    for (int ahead = 1; ahead < kStages - 1; ++ahead) {
      if (ahead <= last_block) fill(ahead, last_block - ahead);
      cp_async_commit();
    }
  }

  /// Until what begin() copied first is there, the queries with it.
  __device__ __forceinline__ void wait_for_begin() const {
    cp_async_wait<(kStages > 2 ? kStages - 2 : 0)>();
    __syncthreads();
  }

  /// Waits until the keys of `block` are there, and sends for what may now be overwritten. Returns how far into its
  /// tiles the block lies. kLast where the block may be the last: its values end with the keys.
  template <bool kLast>
  __device__ __forceinline__ int wait_for_keys(int block) {
    if constexpr (kStages == 1) {
      cp_async_wait<0>();
      __syncthreads();  // and all have left the values of the block before
      copy_values<kLast>(value_tile, block);
      cp_async_commit();
      return 0;
    } else {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // and all have left the slot before
      if (block >= kStages - 1) fill(slot == 0 ? kStages - 1 : slot - 1, block - (kStages - 1));
      cp_async_commit();
      const int current = slot;
      slot = slot + 1 == kStages ? 0 : slot + 1;
      return current * kTileBytes;
    }
  }

  /// Call after the scores: with one stage the next keys take the place of these.
  __device__ __forceinline__ void wait_for_values(int block) {
    if constexpr (kStages == 1) {
      cp_async_wait<0>();
      __syncthreads();
      if (block > 0) copy_keys<false>(key_tile, block - 1);
      cp_async_commit();
    }
  }
};

/// The keys that queries see. `ahead` = T_k - T_q: under the causal mask query i sees i + ahead + 1 keys.
struct VisibleKeys {
  int keys, ahead;
  bool causal;

  __device__ __forceinline__ int seen_by(int query) const { return causal ? min(keys, query + ahead + 1) : keys; }
};

/// Which keys of a block are padding: one bit a key, the same in all lanes of a warp.
template <int kKeys, bool kPadding>
struct PaddingBits {
  static constexpr int kWords = kPadding ? (kKeys + 31) / 32 : 1;
  std::uint32_t words[kWords];

  __device__ __forceinline__ PaddingBits(VectorView<const std::uint8_t> padding, int first_key) {
#pragma unroll
    for (int w = 0; kPadding && w < kWords; ++w) {
      const int key = first_key + 32 * w + threadIdx.x % 32;
      words[w] = key < static_cast<int>(padding.size) && padding.data[key] != 0;
    }
  }
  __device__ __forceinline__ void share() {
#pragma unroll
    for (int w = 0; kPadding && w < kWords; ++w) words[w] = __ballot_sync(0xffffffffu, words[w]);
  }
  __device__ __forceinline__ bool is_key(int key) const { return !kPadding || (words[key / 32] >> key % 32 & 1); }
};

inline constexpr int kHeadsAPlane = 32768;  // of the grid, whose second extent ends at 65,535

/// One block of threads: which queries of which head, and what they see.
struct AttentionSpan {
  int head, first_query;
  int blocks;    // of keys, that some query sees
  int unmasked;  // of these, the first so many are seen by every query, whole
  VisibleKeys visible;

  template <AttentionTile kTile, bool kPadding>
  __device__ __forceinline__ static AttentionSpan of_block(const AttentionArgs& args) {
    const int queries = args.query.shape[1], keys = args.key.shape[1];
    const bool causal = args.mask == AttentionMask::causal;
    AttentionSpan span;
    span.head = blockIdx.z * kHeadsAPlane + blockIdx.y;
    span.first_query = (causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x) * kTile.rows();  // causal: the longest first
    span.visible = {keys, keys - queries, causal};
    const int seen_by_last = span.visible.seen_by(min(span.first_query + kTile.rows(), queries) - 1);
    span.blocks = seen_by_last > 0 ? (seen_by_last + kTile.keys - 1) / kTile.keys : 0;
    span.unmasked = kPadding ? 0 : max(0, span.visible.seen_by(span.first_query)) / kTile.keys;
    return span;
  }
};

__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

__device__ __forceinline__ float quad_maximum(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

/// Columns `column` and the next of a row of head_dim floats; both at once where they lie on 8 bytes.
__device__ __forceinline__ void store_pair(float* row, int column, int head_dim, float first, float second) {
  if (column + 1 < head_dim && reinterpret_cast<std::uintptr_t>(row) % 8 == 0) {
    *reinterpret_cast<float2*>(row + column) = make_float2(first, second);
    return;
  }
  if (column < head_dim) row[column] = first;
  if (column + 1 < head_dim) row[column + 1] = second;
}

/// One row's numbers, from the sums over all its lanes.
__device__ __forceinline__ void store_statistics(const AttentionArgs& args, int head, int query, float reference,
                                                 float maximum, float sum, float moment) {
  const AttentionStatistics& wanted = args.statistics;
  const float scale = args.scale == 0 ? 1 : fabsf(args.scale);  // as the queries have its sign, or are 0
  const bool sees = sum > 0;
  if (!wanted.log_sum_exp.empty())
    wanted.log_sum_exp.row(head)[query] = sees ? fmaf(reference, scale, logf(sum)) : -INFINITY;
  if (!wanted.maximum.empty()) wanted.maximum.row(head)[query] = sees ? maximum * scale : -INFINITY;
  if (!wanted.entropy.empty()) wanted.entropy.row(head)[query] = sees ? logf(sum) - kLn2 * (moment / sum) : 0;
}

template <AttentionTile kTile, typename Element, bool kStatistics>
__device__ __forceinline__ void store_rows(const AttentionRows<kTile, Element, kStatistics>& rows,
                                           const AttentionArgs& args, int head, int first_query) {
  const int queries = args.query.shape[1], head_dim = args.query.shape[2], lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < kTile.row_tiles; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = quad_sum(rows.sum[m][half]);
      const float moment = kStatistics ? quad_sum(rows.moment[m][half]) : 0;
      const float maximum = kStatistics ? quad_maximum(rows.maximum[m][half]) : 0;
      const float inverse = sum > 0 ? 1 / sum : 0;
      const int query = first_query + 16 * m + 8 * half + lane / 4;
      if (query >= queries) continue;
      float* const out = static_cast<float*>(args.out.data) + head * args.out.strides[0] + query * args.out.strides[1];
#pragma unroll
      for (int j = 0; j < kTile.head_dim / 8; ++j)
        store_pair(out, 8 * j + 2 * (lane % 4), head_dim, rows.out[m][j][2 * half] * inverse,
                   rows.out[m][j][2 * half + 1] * inverse);
      if (kStatistics && lane % 4 == 0)
        store_statistics(args, head, query, rows.reference[m][half], maximum, sum, moment);
    }
}

/// One block of keys, from their arrival to the output. kMasked where some row may not see some of them.
template <bool kMasked, bool kPadding, AttentionTile kTile, typename Element, bool kStatistics>
__device__ __forceinline__ void attend(AttentionRows<kTile, Element, kStatistics>& rows, KeyValueStream<kTile>& stream,
                                       const AttentionArgs& args, const VisibleKeys& visible, int first_query,
                                       int block) {
  constexpr int kWarpRows = 16 * kTile.row_tiles;
  const int first_key = block * kTile.keys;
  const bool idle = kMasked && visible.seen_by(first_query + kWarpRows - 1) <= first_key;
  const int slot = stream.template wait_for_keys<kMasked>(block);
  PaddingBits<kTile.keys, kPadding> padding(args.key_padding, first_key);
  if (!idle) rows.multiply_query_key(stream.key_at(slot));
  stream.wait_for_values(block);
  if (idle) return;
  if constexpr (kMasked) {
    padding.share();
    rows.mask([&](int m, int half, int key) {
      const int query = first_query + 16 * m + 8 * half + threadIdx.x % 32 / 4;
      return first_key + key < visible.seen_by(query) && padding.is_key(key);
    });
  }
  rows.renew_references();
  rows.template accumulate<kMasked>(stream.value_at(slot));
}

/// Inputs whose rows begin on 16 bytes, head_dim a multiple of 8; other views are packed first. T_q and T_k below 2^31.
/// The parameters are an AttentionVariant's members: what nvcc writes for the host cannot name a kernel by one of
/// those.
template <int kHeadDim, int kRowTiles, int kKeys, int kStages, bool kQueryInRegisters, bool kPadding, bool kStatistics,
          int kFrom, int kBelow, typename Element>
__global__ void __launch_bounds__(32 * kAttentionWarps, 2)
    attention_kernel(const __grid_constant__ AttentionArgs args) {
  constexpr AttentionTile kTile{kHeadDim, kRowTiles, kKeys, kStages, kQueryInRegisters};
  auto& shared = shared_memory<AttentionShared<kTile>>();
  const auto span = AttentionSpan::of_block<kTile, kPadding>(args);
  if (span.head >= static_cast<int>(args.query.shape[0])) return;
  const int warp = threadIdx.x / 32, first_query = span.first_query + warp * 16 * kTile.row_tiles;

  // Load: queries, and the last block of keys.
  const RowCopier<kTile> copier(args.query.shape[2]);
  const int group = args.query.shape[0] / args.key.shape[0], last_block = max(span.blocks, 1) - 1;
  KeyValueStream<kTile> stream(copier, shared, args, span.head / group, last_block);
  copier.template copy<kTile.rows(), true>(shared_address(shared.query),
                                           copier.source(args.query, span.head, span.first_query),
                                           args.query.strides[1], args.query.shape[1] - span.first_query);
  stream.begin(last_block);
  if (args.scale <= 0) copier.give_sign(shared.query, args.scale);

  // Compute.
  AttentionRows<kTile, Element, kStatistics> rows(args.scale, shared_address(shared.query), warp);
  if constexpr (kTile.query_in_registers) {
    stream.wait_for_begin();
#pragma unroll
    for (int k = 0; k < kTile.head_dim / 16; ++k) rows.load_query(k);
  }
  int block = span.blocks - 1;
#pragma unroll 1
  for (; block >= span.unmasked; --block) attend<true, kPadding>(rows, stream, args, span.visible, first_query, block);
#pragma unroll 1
  for (; !kPadding && block >= 0; --block)
    attend<false, kPadding>(rows, stream, args, span.visible, first_query, block);

  // Store.
  store_rows(rows, args, span.head, first_query);
}

}  // namespace lexiscope::cuda
