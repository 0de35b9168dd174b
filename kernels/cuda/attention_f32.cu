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

__host__ __device__ constexpr unsigned parts_of(std::size_t whole, unsigned part) {
  return static_cast<unsigned>((whole + part - 1) / part);
}

/// Brings the panels and values of every tile to the two slots in turn, in the order in which they are used.
template <unsigned kThreads, bool kAligned>
struct Fetcher {
  AttentionF32Shared& shared;
  Rows<float> query, key, value;
  unsigned first_query = 0, tiles = 0;
  unsigned score_panels = 0, value_groups = 0;  // of every tile
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

template <unsigned kValueColumns, unsigned kRows, bool kAligned>
class AttentionF32 {
 public:
  static constexpr unsigned kRowStep = kTile / kRows, kThreads = kRowStep * kColumnThreads;

  __device__ AttentionF32(const AttentionArgs& args, AttentionF32Shared& shared)
      : args_(args),
        shared_(shared),
        sees_(args),
        // The last queries see the most keys: their blocks begin first.
        first_query_((sees_.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x) * kTile),
        last_query_(min(first_query_ + kTile, sees_.queries) - 1),
        first_column_(blockIdx.z * kValueColumns),
        fetcher_{shared, rows_of<float>(args.query, blockIdx.y),
                 rows_of<float>(args.key, key_head_of(args, blockIdx.y)),
                 rows_of<float>(args.value, key_head_of(args, blockIdx.y))} {
    auto& value = fetcher_.value;
    value.data += first_column_;
    value.columns = min(value.columns - first_column_, kValueColumns);
    fetcher_.first_query = first_query_;
    fetcher_.tiles = parts_of(sees_.keys_seen_to(last_query_), kTile);
    fetcher_.score_panels = parts_of(fetcher_.query.columns, kPanelColumns<float>);
    fetcher_.value_groups = parts_of(value.columns, kValueGroup);
  }

  __device__ __forceinline__ void run() {
    fetcher_.fetch();
#pragma unroll 1
    for (unsigned tile = 0; tile < fetcher_.tiles; ++tile) {
      float scores[kRows][4] = {}, factor[kRows];
#pragma unroll 1
      for (unsigned panel = 0; panel < fetcher_.score_panels; ++panel) {
        const PanelPair& here = next_slot().scores;
        multiply_f32<kRows, kRowStep>(here.left, here.right, scores);
      }
      weigh(tile, scores, factor);
      __syncwarp();  // a row's threads are in one warp
      add_values(factor);
    }
    write();
  }

 private:
  static constexpr unsigned kGroups = kValueColumns / kValueGroup;
  using Slot = typename AttentionF32Shared::Slot;

  __device__ unsigned row(unsigned r) const { return threadIdx.x / kColumnThreads + kRowStep * r; }
  __device__ unsigned column() const { return threadIdx.x % kColumnThreads; }

  __device__ __forceinline__ const Slot& next_slot() {
    cp_async_wait<0>();
    __syncthreads();  // this slot is here, and everybody has left the other one
    fetcher_.fetch();
    const Slot& here = shared_.ring[slot_];
    slot_ ^= 1;
    return here;
  }

  /// From scores to weights, for all of the row's threads; and what earlier sums are to be multiplied with.
  __device__ __forceinline__ void weigh(unsigned tile, float (&scores)[kRows][4], float (&factor)[kRows]) {
#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) {
      float tile_maximum = -INFINITY;
#pragma unroll
      for (unsigned c = 0; c < 4; ++c) {
        const unsigned key = tile * kTile + column() + kColumnThreads * c;
        scores[r][c] = sees_(first_query_ + row(r), key) ? scores[r][c] * args_.scale : -INFINITY;
        rows_[r].see(scores[r][c], key);
        tile_maximum = fmaxf(tile_maximum, scores[r][c]);
      }
      factor[r] = rows_[r].softmax.raise(row_maximum(tile_maximum));
      rows_[r].softmax.add(scores[r]);
#pragma unroll
      for (unsigned c = 0; c < 4; ++c) shared_.weights[row(r)][column() + kColumnThreads * c] = scores[r][c];
    }
  }

  __device__ __forceinline__ void add_values(const float (&factor)[kRows]) {
#pragma unroll
    for (unsigned group = 0; group < kGroups; ++group) {
      if (group >= fetcher_.value_groups) break;
      float sums[kRows][4] = {};
      multiply_values(next_slot().values, sums);
#pragma unroll
      for (unsigned r = 0; r < kRows; ++r)
#pragma unroll
        for (unsigned c = 0; c < 4; ++c) out_[group][r][c] = fmaf(out_[group][r][c], factor[r], sums[r][c]);
    }
  }

  /// sums[r][c] += weights of row r . values of column 4 column() + c, over the tile's keys in order.
  __device__ __forceinline__ void multiply_values(const float (&values)[kTile][kValueGroup],
                                                  float (&sums)[kRows][4]) const {
#pragma unroll 4
    for (unsigned key = 0; key < kTile; key += 4) {
      Pack<float, 4> v[4];
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) v[i] = load_pack<4>(&values[key + i][4 * column()]);
#pragma unroll
      for (unsigned r = 0; r < kRows; ++r) {
        const auto p = load_pack<4>(&shared_.weights[row(r)][key]);
#pragma unroll
        for (unsigned c = 0; c < 4; ++c)
#pragma unroll
          for (unsigned i = 0; i < 4; ++i) sums[r][c] = fmaf(p.values[i], v[i].values[c], sums[r][c]);
      }
    }
  }

  __device__ __forceinline__ void write() {
    const std::size_t head = blockIdx.y;
#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) {
      const unsigned query = first_query_ + row(r);
      rows_[r].combine();
      if (query > last_query_) continue;
      if (column() == 0 && first_column_ == 0) rows_[r].write(args_.statistics, head, query);
      const float inverse = rows_[r].softmax.has_reference() ? 1 / rows_[r].softmax.sum : 0;
      float* to = static_cast<float*>(args_.out.data) + head * args_.out.strides[0] + query * args_.out.strides[1];
#pragma unroll
      for (unsigned group = 0; group < kGroups; ++group)
#pragma unroll
        for (unsigned c = 0; c < 4; ++c)
          if (const unsigned at = group * kValueGroup + 4 * column() + c; at < fetcher_.value.columns)
            to[first_column_ + at] = out_[group][r][c] * inverse;
    }
  }

  const AttentionArgs& args_;
  AttentionF32Shared& shared_;
  Visibility sees_;
  unsigned first_query_, last_query_, first_column_;
  Fetcher<kThreads, kAligned> fetcher_;
  unsigned slot_ = 0;
  RowState rows_[kRows];
  float out_[kGroups][kRows][4] = {};
};

template <unsigned kValueColumns, unsigned kRows, bool kAligned>
__global__ void __launch_bounds__(AttentionF32<kValueColumns, kRows, kAligned>::kThreads,
                                  256 / AttentionF32<kValueColumns, kRows, kAligned>::kThreads)
    attention_f32_kernel(const AttentionArgs args) {
  AttentionF32<kValueColumns, kRows, kAligned>(args, shared_memory<AttentionF32Shared>()).run();
}

template <unsigned kValueColumns, unsigned kRows, bool kAligned>
void launch_as(const AttentionArgs& args, cudaStream_t stream) {
  launch("attention_f32", attention_f32_kernel<kValueColumns, kRows, kAligned>,
         {.blocks = dim3(parts_of(args.query.shape[1], kTile), static_cast<unsigned>(args.query.shape[0]),
                         parts_of(args.query.shape[2], kValueColumns)),
          .threads = AttentionF32<kValueColumns, kRows, kAligned>::kThreads,
          .shared_bytes = sizeof(AttentionF32Shared)},
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
