// A block owns a tile of rows and a run of the vocabulary. A tile of logits lies in shared memory while a few threads a
// row scan it: for the log-sum-exp, the entropy and the logits larger than the target's, and a warp for the largest
// ones. A second kernel combines the runs in their order.
//
// The target's own logit comes first, from a product of the same kind with the targets' rows of the head: the same
// bits as in the pass over the vocabulary, so that a rank counts what is larger and nothing that is equal.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cuda/certainty.h"
#include "kernels/cuda/piece_rows.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/ranked.cuh"
#include "kernels/cuda/running_softmax.cuh"

namespace lexiscope::cuda {
namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kWarps = kThreads / kWarpSize;
constexpr unsigned kColumns = 128;  // tokens of a tile

template <unsigned kRows>
using FmaTile = std::conditional_t<kRows == 64, ProductTile<64, kColumns, 64, 32, 16, 3, 2>,
                                   ProductTile<16, kColumns, 16, 32, 32, 3, 2>>;
template <unsigned kRows>
using TensorTile = std::conditional_t<kRows == 64, ProductTile<64, kColumns, 64, 32, 32, 4, 2>,
                                      ProductTile<16, kColumns, 16, 32, 64, 3, 2>>;

// What a block knows of one row.
struct RowPart {
  RunningSoftmax softmax;
  int larger = 0;  // logits than the target's
};

// Where the workspace holds what; null where it is not wanted.
struct Workspace {
  std::byte* x = nullptr;            // what piece_rows() needs
  std::byte* target_rows = nullptr;  // [T, stride], of the head
  float* target_logit = nullptr;     // [T]
  RowPart* parts = nullptr;          // [T, spans]
  Ranked* top = nullptr;             // [T, spans, 32]
  Ranked* found_last = nullptr;      // [T], the last rank that the passes before found
  std::size_t bytes = 0;

  Workspace(const CertaintyArgs& args, const PackedWeights& head, unsigned spans, void* begin) {
    const std::size_t rows = args.x.rows, row_bytes = head.stride * size_of(head.dtype);
    const bool target_wanted = !args.target_log_prob.empty() || !args.target_rank.empty();
    const auto place = [&]<typename Element>(Element*& to, bool wanted, std::size_t count) {
      if (!wanted) return;
      to = reinterpret_cast<Element*>(reinterpret_cast<std::uintptr_t>(begin) + bytes);
      bytes += (count * sizeof(Element) + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
    };
    const std::size_t x_bytes = piece_rows_workspace(args.x, head.dtype);
    place(x, x_bytes > 0, x_bytes);
    place(target_rows, target_wanted, rows * row_bytes);
    place(target_logit, target_wanted, rows);
    place(parts, true, rows * spans);
    place(top, args.top_id.columns > 0, rows * spans * kWarpSize);
    place(found_last, args.top_id.columns > kWarpSize, rows);
  }
};

struct Call {
  unsigned rows, vocabulary, spans;
  VectorView<const float> bias;
  VectorView<const std::int32_t> target;
  Workspace workspace;
  unsigned first_rank = 0, ranks = 0;  // that this pass finds

  __device__ float logit(float product, unsigned token) const { return bias.empty() ? product : product + bias[token]; }
  /// -1 where the row has no target.
  __device__ int target_of(std::size_t row) const {
    const int token = target[row];
    return token >= 0 && static_cast<unsigned>(token) < vocabulary ? token : -1;
  }
};

// Calls visit(row, column, sum) for each product that the thread holds.
template <typename Product, typename Visit>
__device__ __forceinline__ void for_each_sum(const typename Product::Sums& sums, const Visit& visit) {
  constexpr unsigned kDown = sizeof(sums.values) / sizeof(sums.values[0]);
  constexpr unsigned kAcross = sizeof(sums.values[0]) / sizeof(sums.values[0][0]);
#pragma unroll
  for (unsigned i = 0; i < kDown; ++i)
#pragma unroll
    for (unsigned j = 0; j < kAcross; ++j) {
      if constexpr (std::is_same_v<typename Product::Element, float>) {
        visit(Product::row_of(i), Product::column_of(j), sums.values[i][j]);
      } else {
#pragma unroll
        for (unsigned k = 0; k < 4; ++k) visit(Product::row_of(i, k), Product::column_of(j, k), sums.values[i][j][k]);
      }
    }
}

template <typename Product>
struct CertaintyShared {
  union {
    typename Product::Shared product;
    float logits[Product::kRows][kColumns + 2];  // the padding spreads the rows that are scanned at once over the banks
  };
  Ranked top[Product::kRows][kWarpSize];
};

template <typename Product>
class CertaintyBlock {
  static constexpr unsigned kRows = Product::kRows, kThreadsARow = kThreads / kRows, kRowsAWarp = kRows / kWarps;
  static constexpr unsigned kScanned = 8;  // logits at a time
  static_assert(Product::kThreads == kThreads && Product::kColumns == kColumns);

 public:
  using Shared = CertaintyShared<Product>;

  __device__ CertaintyBlock(const Call& call, Shared& shared)
      : call_(call), shared_(shared), first_row_(blockIdx.x * kRows), span_(blockIdx.y) {
    if (scans_row() && call_.workspace.target_logit) target_logit_ = call_.workspace.target_logit[row()];
    for_each_row_of_warp([&](unsigned row) { shared_.top[row][threadIdx.x % kWarpSize] = Ranked::empty(); });
  }

  __device__ void take(const typename Product::Sums& sums, unsigned first_token) {
    for_each_sum<Product>(sums, [&](unsigned row, unsigned column, float sum) {
      const unsigned token = first_token + column;
      shared_.logits[row][column] = token < call_.vocabulary ? call_.logit(sum, token) : -INFINITY;
    });
    __syncthreads();
    scan();
    rank(first_token);
    __syncthreads();
  }

  __device__ void write() const {
    RowPart part = part_;
#pragma unroll
    for (unsigned lanes = 1; lanes < kThreadsARow; lanes *= 2) {
      part.softmax.combine(part.softmax.across(lanes));
      part.larger += __shfl_xor_sync(kWholeWarp, part.larger, lanes);
    }
    if (scans_row() && threadIdx.x % kThreadsARow == 0)
      call_.workspace.parts[std::size_t{row()} * call_.spans + span_] = part;
    for_each_row_of_warp([&](unsigned row) {
      const std::size_t list = std::size_t{first_row_ + row} * call_.spans + span_;
      call_.workspace.top[list * kWarpSize + threadIdx.x % kWarpSize] = shared_.top[row][threadIdx.x % kWarpSize];
    });
  }

 private:
  __device__ unsigned row() const { return first_row_ + threadIdx.x / kThreadsARow; }
  __device__ bool scans_row() const { return row() < call_.rows; }

  // None where no ranks are wanted.
  template <typename Visit>
  __device__ void for_each_row_of_warp(const Visit& visit) const {
    if (call_.ranks == 0) return;
    const unsigned first = threadIdx.x / kWarpSize * kRowsAWarp;
    for (unsigned row = first; row < first + kRowsAWarp && first_row_ + row < call_.rows; ++row) visit(row);
  }

  __device__ void scan() {
    const float* logits = shared_.logits[threadIdx.x / kThreadsARow] + threadIdx.x % kThreadsARow;
    RunningSoftmax tile;
#pragma unroll 1
    for (unsigned column = 0; column < kColumns; column += kScanned * kThreadsARow) {
      float scanned[kScanned];
      float largest = -INFINITY;
#pragma unroll
      for (unsigned i = 0; i < kScanned; ++i) {
        scanned[i] = logits[column + i * kThreadsARow];
        largest = fmaxf(largest, scanned[i]);
        part_.larger += scanned[i] > target_logit_;
      }
      tile.raise(largest);
      tile.add(scanned);
    }
    part_.softmax.combine(tile);
  }

  __device__ void rank(unsigned first_token) const {
    for_each_row_of_warp([&](unsigned row) {
      const unsigned lane = threadIdx.x % kWarpSize;
      Ranked list = shared_.top[row][lane];
      const Ranked found = call_.first_rank == 0 ? Ranked::before_all() : call_.workspace.found_last[first_row_ + row];
#pragma unroll
      for (unsigned column = lane; column < kColumns; column += kWarpSize) {
        const Ranked candidate{shared_.logits[row][column], static_cast<int>(first_token + column)};
        insert_ranked(list, call_.ranks, candidate,
                      first_token + column < call_.vocabulary && found.precedes(candidate));
      }
      shared_.top[row][lane] = list;
    });
  }

  const Call& call_;
  Shared& shared_;
  unsigned first_row_, span_;
  RowPart part_;                   // of the thread's own columns
  float target_logit_ = INFINITY;  // of the thread's row
};

template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kBlocks)
    certainty_kernel(const ProductOperands<typename Product::Element> operands, const Call call) {
  auto& shared = shared_memory<CertaintyShared<Product>>();
  CertaintyBlock<Product> block(call, shared);
  const std::uint64_t tiles = (call.vocabulary + kColumns - 1) / kColumns;
  const auto first_of = [&](std::uint64_t span) { return static_cast<unsigned>(span * tiles / call.spans); };
  const unsigned end = first_of(std::uint64_t{blockIdx.y} + 1);
#pragma unroll 1
  for (unsigned tile = first_of(blockIdx.y); tile < end; ++tile) {
    typename Product::Sums sums;
    Product::multiply(operands, std::size_t{blockIdx.x} * Product::kRows, std::size_t{tile} * kColumns, shared.product,
                      sums);
    block.take(sums, tile * kColumns);
  }
  block.write();
}

// The diagonal of x times the targets' rows.
template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kBlocks)
    certainty_target_kernel(const ProductOperands<typename Product::Element> operands, const Call call) {
  auto& shared = shared_memory<CertaintyShared<Product>>();
  const unsigned first_row = blockIdx.x * Product::kRows;
  typename Product::Sums sums;
  Product::multiply(operands, first_row, first_row, shared.product, sums);
  for_each_sum<Product>(sums, [&](unsigned row, unsigned column, float sum) {
    if (row != column || first_row + row >= call.rows) return;
    const int token = call.target_of(first_row + row);
    call.workspace.target_logit[first_row + row] =
        token >= 0 ? call.logit(sum, static_cast<unsigned>(token)) : INFINITY;
  });
}

// The head's rows of the targets, the first where there is none.
template <typename Element>
__global__ void certainty_target_rows_kernel(PackedWeights head, const Call call) {
  const std::size_t row = blockIdx.x;
  const auto token = static_cast<std::size_t>(max(call.target_of(row), 0));
  const auto* from = static_cast<const Element*>(head.data) + token * head.stride;
  auto* to = reinterpret_cast<Element*>(call.workspace.target_rows) + row * head.stride;
  for (std::size_t column = threadIdx.x; column < head.stride; column += kThreads) to[column] = from[column];
}

struct Outputs {
  VectorView<float> target_log_prob;
  VectorView<std::int32_t> target_rank;
  VectorView<float> entropy;
  MatrixView<std::int32_t> top_id;
  MatrixView<float> top_log_prob;
};

// A warp a row: the spans' parts in a fixed order, then their lists.
__global__ void certainty_combine_kernel(const Call call, const Outputs outputs) {
  const unsigned lane = threadIdx.x % kWarpSize;
  const std::size_t row = std::size_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize;
  if (row >= call.rows) return;
  RowPart all;
  for (unsigned span = lane; span < call.spans; span += kWarpSize) {
    const RowPart part = call.workspace.parts[row * call.spans + span];
    all.softmax.combine(part.softmax);
    all.larger += part.larger;
  }
#pragma unroll
  for (unsigned lanes = 1; lanes < kWarpSize; lanes *= 2) all.softmax.combine(all.softmax.across(lanes));
  all.larger = warp_sum(all.larger);
  const float log_sum_exp = all.softmax.log_sum_exp();

  if (lane == 0 && !outputs.entropy.empty()) outputs.entropy[row] = all.softmax.entropy();
  if (lane == 0 && call.workspace.target_logit != nullptr) {
    const bool has_target = call.target_of(row) >= 0;
    if (!outputs.target_log_prob.empty())
      outputs.target_log_prob[row] = has_target ? call.workspace.target_logit[row] - log_sum_exp : NAN;
    if (!outputs.target_rank.empty()) outputs.target_rank[row] = has_target ? 1 + all.larger : 0;
  }
  if (call.ranks == 0) return;
  Ranked list = Ranked::empty();
  for (unsigned span = 0; span < call.spans; ++span)
    insert_ranked(list, call.ranks, call.workspace.top[(row * call.spans + span) * kWarpSize + lane], true);
  if (lane < call.ranks) {
    outputs.top_id.row(row)[call.first_rank + lane] = list.index;
    outputs.top_log_prob.row(row)[call.first_rank + lane] = list.value - log_sum_exp;
  }
  if (lane == kWarpSize - 1 && call.workspace.found_last != nullptr) call.workspace.found_last[row] = list;
}

unsigned tiles_of(std::size_t size, unsigned tile) { return static_cast<unsigned>((size + tile - 1) / tile); }

template <typename Product>
void launch_all(const CertaintyArgs& args, const PackedWeights& head, Call call, cudaStream_t stream) {
  using Element = typename Product::Element;
  const Workspace& workspace = call.workspace;
  const unsigned row_tiles = tiles_of(args.x.rows, Product::kRows);
  const auto rows_in = [](const PieceMatrix& rows) {
    return PieceRows<Element>{static_cast<const Element*>(rows.data), rows.rows, rows.stride};
  };
  const auto x = rows_in(piece_rows(args.x, head.dtype, workspace.x, stream));
  const auto operands_of = [&](const PieceMatrix& weight) {
    return ProductOperands<Element>{.x = x, .weight = rows_in(weight), .depth = head.stride};
  };
  const Outputs outputs{args.target_log_prob, args.target_rank, args.entropy, args.top_id, args.top_log_prob};

  if (workspace.target_rows != nullptr) {
    launch("certainty_target_rows", certainty_target_rows_kernel<Element>, {.blocks = call.rows, .threads = kThreads},
           stream, head, call);
    launch("certainty_target", certainty_target_kernel<Product>,
           {.blocks = row_tiles, .threads = kThreads, .shared_bytes = sizeof(CertaintyShared<Product>)}, stream,
           operands_of({workspace.target_rows, args.x.rows, head.stride}), call);
  }
  const auto ranks = static_cast<unsigned>(args.top_id.columns);
  do {
    call.ranks = std::min(ranks - call.first_rank, kWarpSize);
    launch(
        "certainty", certainty_kernel<Product>,
        {.blocks = dim3(row_tiles, call.spans), .threads = kThreads, .shared_bytes = sizeof(CertaintyShared<Product>)},
        stream, operands_of({head.data, head.rows, head.stride}), call);
    launch("certainty_combine", certainty_combine_kernel,
           {.blocks = tiles_of(args.x.rows, kWarps), .threads = kThreads}, stream, call, outputs);
    call.first_rank += kWarpSize;
  } while (call.first_rank < ranks);
}

}  // namespace

CertaintyConfig choose_certainty_config(std::size_t rows, std::size_t vocabulary, const cudaDeviceProp& device) {
  const unsigned rows_per_tile = rows <= 16 ? 16 : 64;
  const unsigned row_tiles = std::max(tiles_of(rows, rows_per_tile), 1u);
  const unsigned blocks = 2 * static_cast<unsigned>(device.multiProcessorCount);
  const unsigned wanted = (blocks + row_tiles - 1) / row_tiles;
  return {.rows_per_tile = rows_per_tile, .spans = std::max(1u, std::min(wanted, tiles_of(vocabulary, kColumns)))};
}

std::size_t certainty_workspace(const CertaintyArgs& args, const PackedWeights& head, const CertaintyConfig& config) {
  return Workspace(args, head, config.spans, nullptr).bytes;
}

void certainty(const CertaintyArgs& args, const PackedWeights& head, const CertaintyConfig& config, void* workspace,
               cudaStream_t stream) {
  if (args.x.rows == 0) return;
  const Call call{.rows = static_cast<unsigned>(args.x.rows),
                  .vocabulary = static_cast<unsigned>(head.rows),
                  .spans = config.spans,
                  .bias = args.bias,
                  .target = args.target,
                  .workspace = Workspace(args, head, config.spans, workspace)};
  const bool few = config.rows_per_tile == 16;
  if (head.dtype == DType::bf16) {
    if (few) return launch_all<TensorProduct<TensorTile<16>, false>>(args, head, call, stream);
    return launch_all<TensorProduct<TensorTile<64>, false>>(args, head, call, stream);
  }
  if (few) return launch_all<FmaProduct<FmaTile<16>, false>>(args, head, call, stream);
  launch_all<FmaProduct<FmaTile<64>, false>>(args, head, call, stream);
}

}  // namespace lexiscope::cuda
