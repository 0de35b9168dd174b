// A block owns 64 queries of one head and streams the keys past them, 64 at a time. A thread holds the same rows of the
// scores and of the output, so that the softmax needs nothing of other warps; queries, keys and values come through two
// slots of shared memory, one being filled while the other is multiplied.
#include <cmath>

#include "kernels/cuda/attention_f32.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/running_softmax.cuh"
#include "kernels/cuda/warp.h"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kColumnThreads = 16;  // threads that share a row
constexpr unsigned kValueGroup = 64;     // columns of the output that are multiplied at a time

struct AttentionF32Shared {
  union Slot {
    PanelPair scores;                  // 32 columns of 64 queries and of 64 keys
    float values[kTile][kValueGroup];  // 64 columns of 64 values
  };
  Slot ring[2];
  float weights[kTile][kTile + 16];  // the padding keeps two rows' stores in different banks
};

__device__ float row_maximum(float x) {
#pragma unroll
  for (unsigned lanes = kColumnThreads / 2; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(kWholeWarp, x, lanes));
  return x;
}

// What a thread knows of one row: of its own columns, but for the softmax's reference, which the row's threads share.
struct RowState {
  RunningSoftmax softmax;
  float maximum = -INFINITY;  // of the scores
  int argmax = -1;

  __device__ void see(float score, unsigned key) {
    if (score <= maximum) return;
    maximum = score;
    argmax = static_cast<int>(key);
  }

  /// Takes in what the row's other threads know.
  __device__ void combine() {
#pragma unroll
    for (unsigned lanes = kColumnThreads / 2; lanes > 0; lanes /= 2) {
      softmax.sum += __shfl_xor_sync(kWholeWarp, softmax.sum, lanes);
      softmax.moment += __shfl_xor_sync(kWholeWarp, softmax.moment, lanes);
      const float other = __shfl_xor_sync(kWholeWarp, maximum, lanes);
      const int at = __shfl_xor_sync(kWholeWarp, argmax, lanes);
      if (other > maximum || (other == maximum && at < argmax)) maximum = other, argmax = at;
    }
  }

  __device__ void write(const AttentionStatistics& wanted, std::size_t head, unsigned query) const {
    if (!wanted.log_sum_exp.empty()) wanted.log_sum_exp.row(head)[query] = softmax.log_sum_exp();
    if (!wanted.entropy.empty()) wanted.entropy.row(head)[query] = softmax.entropy();
    if (!wanted.maximum.empty()) wanted.maximum.row(head)[query] = maximum;
    if (!wanted.argmax.empty()) wanted.argmax.row(head)[query] = argmax;
  }
};

template <unsigned kValueColumns, unsigned kRows, bool kAligned>
struct AttentionF32 {
  static constexpr unsigned kRowStep = kTile / kRows, kThreads = kRowStep * kColumnThreads;
  static constexpr unsigned kGroups = kValueColumns / kValueGroup;
  using Shared = AttentionF32Shared;

  /// Fetches the panels and values in the order in which they are used.
  struct Fetcher {
    Shared& shared;
    Rows<float> query, key, value;
    unsigned first_query, tiles;
    unsigned score_panels, value_groups;  // of every tile
    unsigned tile = 0, step = 0, slot = 0;

    __device__ void fetch() {
      if (tile == tiles) return;
      auto& to = shared.ring[slot];
      if (step < score_panels) {
        stage_panel<kAligned, kThreads>(to.scores.left, query, first_query, step * kPanelColumns<float>);
        stage_panel<kAligned, kThreads>(to.scores.right, key, tile * kTile, step * kPanelColumns<float>);
      } else {
        fetch_values(to.values, (step - score_panels) * kValueGroup);
      }
      cp_async_commit();
      slot ^= 1;
      if (++step < score_panels + value_groups) return;
      step = 0;
      ++tile;
    }

    __device__ void fetch_values(float (&to)[kTile][kValueGroup], unsigned first_column) {
      constexpr unsigned kPieces = kValueGroup / kPieceElements<float>;
      const unsigned column = threadIdx.x % kPieces * kPieceElements<float>;
#pragma unroll
      for (unsigned row = threadIdx.x / kPieces; row < kTile; row += kThreads / kPieces)
        stage_piece<kAligned>(&to[row][column], value, tile * kTile + row, first_column + column);
    }
  };

  /// sums[r][c] += weights of row r . values of column 4 * (threadIdx.x % 16) + c, over the tile's keys in order.
  static __device__ __forceinline__ void multiply_values(const Shared& shared,
                                                         const float (&values)[kTile][kValueGroup],
                                                         float (&sums)[kRows][4]) {
    const unsigned row = threadIdx.x / kColumnThreads, column = threadIdx.x % kColumnThreads * 4;
#pragma unroll 4
    for (unsigned key = 0; key < kTile; key += 4) {
      Pack<float, 4> v[4];
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) v[i] = load_pack<4>(&values[key + i][column]);
#pragma unroll
      for (unsigned r = 0; r < kRows; ++r) {
        const auto p = load_pack<4>(&shared.weights[row + kRowStep * r][key]);
#pragma unroll
        for (unsigned c = 0; c < 4; ++c)
#pragma unroll
          for (unsigned i = 0; i < 4; ++i) sums[r][c] = fmaf(p.values[i], v[i].values[c], sums[r][c]);
      }
    }
  }

  static __device__ void run(const AttentionArgs& args) {
    auto& shared = shared_memory<Shared>();
    const Visibility sees(args);
    // The last queries see the most keys: their blocks begin first.
    const unsigned block = sees.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    const unsigned first_query = block * kTile, last_query = min(first_query + kTile, sees.queries) - 1;
    const unsigned row = threadIdx.x / kColumnThreads, column = threadIdx.x % kColumnThreads;
    const std::size_t head = blockIdx.y, key_head = key_head_of(args, head);
    const unsigned first_column = blockIdx.z * kValueColumns;

    const auto parts = [](unsigned whole, unsigned part) { return (whole + part - 1) / part; };
    const auto queries = rows_of<float>(args.query, head), keys = rows_of<float>(args.key, key_head);
    auto values = rows_of<float>(args.value, key_head);
    const unsigned d = queries.columns;
    values.data += first_column;
    values.columns = min(d - first_column, kValueColumns);
    const unsigned tiles = parts(sees.keys_seen_to(last_query), kTile);
    const unsigned score_panels = parts(d, kPanelColumns<float>), groups = parts(values.columns, kValueGroup);
    Fetcher fetcher{shared, queries, keys, values, first_query, tiles, score_panels, groups};

    RowState rows[kRows];
    float out[kGroups][kRows][4] = {};
    unsigned slot = 0;
    const auto next_slot = [&]() -> const auto& {
      cp_async_wait<0>();
      __syncthreads();  // this slot is here, and everybody has left the other one
      fetcher.fetch();
      const auto& here = shared.ring[slot];
      slot ^= 1;
      return here;
    };

    fetcher.fetch();
#pragma unroll 1
    for (unsigned tile = 0; tile < tiles; ++tile) {
      float scores[kRows][4] = {};
#pragma unroll 1
      for (unsigned panel = 0; panel < score_panels; ++panel) {
        const auto& here = next_slot().scores;
        multiply_f32<kRows, kRowStep>(here.left, here.right, scores);
      }

      float factor[kRows];
#pragma unroll
      for (unsigned r = 0; r < kRows; ++r) {
        const unsigned query = first_query + row + kRowStep * r;
        float tile_maximum = -INFINITY;
#pragma unroll
        for (unsigned c = 0; c < 4; ++c) {
          const unsigned key = tile * kTile + column + kColumnThreads * c;
          scores[r][c] = sees(query, key) ? scores[r][c] * args.scale : -INFINITY;
          rows[r].see(scores[r][c], key);
          tile_maximum = fmaxf(tile_maximum, scores[r][c]);
        }
        factor[r] = rows[r].softmax.raise(row_maximum(tile_maximum));
        rows[r].softmax.add(scores[r]);
#pragma unroll
        for (unsigned c = 0; c < 4; ++c) shared.weights[row + kRowStep * r][column + kColumnThreads * c] = scores[r][c];
      }
      __syncwarp();  // a row's threads are in one warp

#pragma unroll
      for (unsigned group = 0; group < kGroups; ++group) {
        if (group >= groups) break;
        float sums[kRows][4] = {};
        multiply_values(shared, next_slot().values, sums);
#pragma unroll
        for (unsigned r = 0; r < kRows; ++r)
#pragma unroll
          for (unsigned c = 0; c < 4; ++c) out[group][r][c] = fmaf(out[group][r][c], factor[r], sums[r][c]);
      }
    }

#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) {
      const unsigned query = first_query + row + kRowStep * r;
      rows[r].combine();
      if (query > last_query) continue;
      if (column == 0 && first_column == 0) rows[r].write(args.statistics, head, query);
      const float inverse = rows[r].softmax.has_reference() ? 1 / rows[r].softmax.sum : 0;
      float* to = static_cast<float*>(args.out.data) + head * args.out.strides[0] + query * args.out.strides[1];
#pragma unroll
      for (unsigned group = 0; group < kGroups; ++group)
#pragma unroll
        for (unsigned c = 0; c < 4; ++c)
          if (const unsigned at = first_column + group * kValueGroup + column * 4 + c; at < d)
            to[at] = out[group][r][c] * inverse;
    }
  }
};

template <unsigned kValueColumns, unsigned kRows, bool kAligned>
__global__ void __launch_bounds__(AttentionF32<kValueColumns, kRows, kAligned>::kThreads)
    attention_f32_kernel(const AttentionArgs args) {
  AttentionF32<kValueColumns, kRows, kAligned>::run(args);
}

template <unsigned kValueColumns, unsigned kRows, bool kAligned>
void launch_as(const AttentionArgs& args, cudaStream_t stream) {
  using Kernel = AttentionF32<kValueColumns, kRows, kAligned>;
  const auto count = [](std::size_t whole, unsigned part) { return static_cast<unsigned>((whole + part - 1) / part); };
  launch("attention_f32", attention_f32_kernel<kValueColumns, kRows, kAligned>,
         {.blocks = dim3(count(args.query.shape[1], kTile), static_cast<unsigned>(args.query.shape[0]),
                         count(args.query.shape[2], kValueColumns)),
          .threads = Kernel::kThreads,
          .shared_bytes = sizeof(typename Kernel::Shared)},
         stream, args);
}

}  // namespace

AttentionF32Config choose_attention_f32_config(const AttentionArgs& args) {
  const bool aligned = has_aligned_rows(args.query) && has_aligned_rows(args.key) && has_aligned_rows(args.value);
  if (!aligned || args.query.shape[2] > 128) return {.value_columns = 256, .rows_per_thread = 4, .aligned = aligned};
  return {.value_columns = args.query.shape[2] <= 64 ? 64u : 128u, .rows_per_thread = 8, .aligned = true};
}

void attention_f32(const AttentionArgs& args, const AttentionF32Config& config, cudaStream_t stream) {
  if (args.query.shape[0] == 0 || args.query.shape[1] == 0) return;
  if (!config.aligned)
    launch_as<256, 4, false>(args, stream);
  else if (config.value_columns == 256)
    launch_as<256, 4, true>(args, stream);
  else if (config.value_columns == 128)
    launch_as<128, 8, true>(args, stream);
  else
    launch_as<64, 8, true>(args, stream);
}

}  // namespace lexiscope::cuda
