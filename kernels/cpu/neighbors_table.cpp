// Lays out points as 16-bit codes. Plain loops in double: this is O(N d log d) beside a search of O(N^2 d), and in
// double its own rounding is far below a step of the codes.
#include "kernels/cpu/neighbors_table.h"

#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace lexiscope::cpu {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{96} << 10;  // codes of a chunk: a share of the second-level cache
constexpr std::size_t kBlockListBytes = std::size_t{16} << 20;
constexpr std::size_t kBlockCodeBytes = std::size_t{96} << 10;
constexpr double kMultipliesPerCall = 1.5e9;  // a lane and thread: a quarter of a second or so
constexpr std::size_t kWorthCodes = 64;       // queries
constexpr std::size_t kRowGroup = 12;         // a multiple of the rows that any target scans at once
constexpr std::size_t kColumnStrip = 32;

std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// A sign for column `a` that has no pattern the Walsh functions know (the last step of the generator splitmix64).
double random_sign(std::uint64_t a) {
  a = (a + 1) * 0x9e3779b97f4a7c15u;
  a = (a ^ (a >> 30)) * 0xbf58476d1ce4e5b9u;
  a = (a ^ (a >> 27)) * 0x94d049bb133111ebu;
  return (a ^ (a >> 31)) & 1 ? 1.0 : -1.0;
}

// The orthogonal Hadamard transform of `size` values, a power of two.
void hadamard_transform(double* z, std::size_t size) {
  for (std::size_t half = 1; half < size; half *= 2)
    for (std::size_t base = 0; base < size; base += 2 * half)
      for (std::size_t a = base; a < base + half; ++a) {
        const double sum = z[a] + z[a + half], difference = z[a] - z[a + half];
        z[a] = sum;
        z[a + half] = difference;
      }
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  for (std::size_t a = 0; a < size; ++a) z[a] *= scale;
}

// Random signs, then Hadamard transforms of the largest power of two that d holds, side by side, the last one over the
// last columns: each factor is orthogonal, so the product is a rotation (perhaps with a reflection).
void turn(const NeighborsTable& table, const float* x, std::size_t d, double scale, double* z) {
  for (std::size_t a = 0; a < d; ++a) z[a] = (x[a] * scale - table.mean[a]) * table.signs[a];
  const std::size_t size = std::bit_floor(d);
  std::size_t first = 0;
  for (; first + size <= d; first += size) hadamard_transform(z + first, size);
  if (first < d) hadamard_transform(z + d - size, size);
}

double scale_of(const NeighborsArgs& args, const NeighborsTable& table, std::size_t point) {
  return args.metric == Metric::cosine ? table.inverse_norms[point] : table.summary->unit;
}

float largest_magnitude(MatrixView<const float> x, int threads) {
  float largest = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(max : largest)
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t a = 0; a < x.columns; ++a) largest = std::max(largest, std::abs(x.row(i)[a]));
  return largest;
}

// The power of two that brings the largest magnitude just below 1, as far as f32 can hold such a factor: products by
// it are exact, and squares of differences neither overflow nor, where they count, underflow.
double unit_scale(const NeighborsArgs& args, int threads) {
  float largest = largest_magnitude(args.points, threads);
  if (!args.queries.empty()) largest = std::max(largest, largest_magnitude(args.queries, threads));
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0, std::clamp(-exponent, -100, 100));
}

void find_norms(const NeighborsArgs& args, const NeighborsTable& table, int threads) {
  const std::size_t N = args.points.rows, k = args.indices.columns;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::size_t j = 0; j < N; ++j) table.inverse_norms[j] = inverse_norm(args.points.row(j), args.points.columns);
  for (std::size_t j = 0; j < N && table.summary->zero_points < k; ++j)
    if (table.inverse_norms[j] == 0) table.zero_indices[table.summary->zero_points++] = static_cast<std::int32_t>(j);
}

double norm(const double* x, std::size_t d) {
  double sum = 0;
  for (std::size_t a = 0; a < d; ++a) sum += x[a] * x[a];
  return std::sqrt(sum);
}

// Strips of columns over threads, so that the sums do not depend on how many there are.
void find_mean(const NeighborsArgs& args, const NeighborsTable& table, int threads) {
  const std::size_t N = args.points.rows, d = args.points.columns, strips = (d + kColumnStrip - 1) / kColumnStrip;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::size_t strip = 0; strip < strips; ++strip) {
    const std::size_t first = strip * kColumnStrip, count = std::min(kColumnStrip, d - first);
    double sum[kColumnStrip] = {};
    for (std::size_t j = 0; j < N; ++j) {
      const double scale = scale_of(args, table, j);
      const float* x = args.points.row(j) + first;
      for (std::size_t a = 0; a < count; ++a) sum[a] += x[a] * scale;
    }
    for (std::size_t a = 0; a < count; ++a) table.mean[first + a] = sum[a] / static_cast<double>(N);
  }
}

double largest_turned(const NeighborsArgs& args, const NeighborsTable& table, int threads) {
  const std::size_t d = args.points.columns;
  double largest = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(max : largest)
  for (std::size_t j = 0; j < args.points.rows; ++j) {
    double* z = table.turned + static_cast<std::size_t>(omp_get_thread_num()) * d;
    turn(table, args.points.row(j), d, scale_of(args, table, j), z);
    for (std::size_t a = 0; a < d; ++a) largest = std::max(largest, std::abs(z[a]));
  }
  return largest;
}

struct Code {
  std::int64_t squares = 0;  // of the codes, summed
  double error = 0;          // norm(z - what the code stands for), at most
};

// Rounds z to codes, two a word, the words `stride` apart. The error is measured, not assumed, so it holds for values
// beyond the levels too. Its margin: scaling, moving and turning in double round each coordinate in at most
// 2 log2(d) + 6 <= 64 steps, which moves the vector by at most 64 * 2^-53 (norm(scaled x) + norm(mean)), and
// norm(scaled x) <= norm(z) + norm(mean); the sums themselves err by a relative d * 2^-53.
Code round_to_codes(const NeighborsConfig& config, const NeighborsTable& table, const double* z, std::size_t d,
                    std::int32_t* words, std::size_t stride) {
  Code code;
  double squared_error = 0, squared_norm = 0;
  const double limit = config.levels, step = table.summary->step, inverse_step = 1 / step;
  for (std::size_t pair = 0; pair < table.pairs; ++pair) words[pair * stride] = 0;
  for (std::size_t a = 0; a < d; ++a) {
    const double level = std::clamp(z[a] * inverse_step, -limit, limit);
    const int rounded = static_cast<int>(level + (level < 0 ? -0.5 : 0.5));
    const double error = z[a] - step * rounded;
    squared_error += error * error;
    squared_norm += z[a] * z[a];
    code.squares += rounded * rounded;
    const auto bits = static_cast<std::uint32_t>(static_cast<std::uint16_t>(rounded)) << (a % 2 * 16);
    words[a / 2 * stride] |= static_cast<std::int32_t>(bits);
  }
  const double sums = 1 + static_cast<double>(d) * 0x1p-52;
  code.error = sums * (std::sqrt(squared_error) + 0x1p-46 * (std::sqrt(squared_norm) + 2 * table.summary->mean_norm));
  return code;
}

// Codes p of a point and q of a query stand for vectors whose squared distance is step^2 (|p|^2 + |q|^2 - 2 p.q).
// Without the query's own term that is the score p.q - |p|^2 / 2, larger for nearer points. The half square is rounded
// down, so no score is lower than the exact one.
void make_codes(const NeighborsArgs& args, const NeighborsConfig& config, const NeighborsTable& table, int threads) {
  const std::size_t N = args.points.rows, d = args.points.columns, lanes = config.format.lanes;
  double largest_error = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(max : largest_error)
  for (std::size_t block = 0; block < table.padded_points / lanes; ++block)
    for (std::size_t j = block * lanes; j < (block + 1) * lanes; ++j) {
      std::int32_t* words = table.words + block * table.pairs * lanes + j % lanes;
      double* z = table.turned + static_cast<std::size_t>(omp_get_thread_num()) * d;
      const double scale = j < N ? scale_of(args, table, j) : 0;
      if (scale == 0) {  // padding, or a zero vector under the cosine
        for (std::size_t pair = 0; pair < table.pairs; ++pair) words[pair * lanes] = 0;
        table.minus_half_squares[j] = kExcluded;
        continue;
      }
      turn(table, args.points.row(j), d, scale, z);
      const Code code = round_to_codes(config, table, z, d, words, lanes);
      table.minus_half_squares[j] = -static_cast<std::int32_t>(code.squares / 2);
      largest_error = std::max(largest_error, code.error);
    }
  table.summary->largest_error = largest_error;
}

}  // namespace

NeighborsConfig choose_neighbors_config(CodeFormat format, std::size_t N, std::size_t M, std::size_t d, std::size_t k,
                                        int threads) {
  NeighborsConfig config{};
  config.format = format;
  config.use_codes = M >= kWorthCodes;
  // |p.q| <= levels^2 d <= 2^29: scores stay within 32 bits and above kLowestThreshold, and codes within 16.
  config.levels = std::clamp(static_cast<int>(std::sqrt(0x1p29 / static_cast<double>(d))), 1, 32767);

  const std::size_t row_bytes = round_up(d, 2) * sizeof(std::int16_t);
  config.chunk_points = std::max(format.tile, kChunkBytes / row_bytes / format.tile * format.tile);
  config.chunk_points = std::min(config.chunk_points, round_up(N, format.tile));
  config.capacity = 2 * k + 1024;

  const double row_cost = static_cast<double>(N) * static_cast<double>(d);
  const double call_cost = kMultipliesPerCall * static_cast<double>(format.lanes);
  const std::size_t list_bytes = 2 * sizeof(std::int32_t) * (config.capacity + config.chunk_points);
  const std::size_t fitting_rows = std::min(
      {kBlockCodeBytes / row_bytes, kBlockListBytes / list_bytes, static_cast<std::size_t>(call_cost / row_cost)});
  config.block_rows = std::clamp<std::size_t>(fitting_rows, kRowGroup, 20 * kRowGroup) / kRowGroup * kRowGroup;
  config.block_rows = std::min(config.block_rows, round_up(M, kRowGroup));

  const double block_cost = row_cost * static_cast<double>(config.block_rows);
  const auto blocks = static_cast<std::size_t>(std::clamp(call_cost / block_cost, 1.0, 32.0));
  config.rows_per_call = blocks * config.block_rows * static_cast<std::size_t>(threads);
  return config;
}

NeighborsTable cut_neighbors_table(WorkspaceCutter& cutter, const NeighborsArgs& args, const NeighborsConfig& config,
                                   int threads) {
  const std::size_t N = args.points.rows, d = args.points.columns;
  const bool cosine = args.metric == Metric::cosine;
  NeighborsTable table{};
  table.pairs = (d + 1) / 2;
  table.padded_points = round_up(N, config.format.tile);
  table.summary = cutter.cut<TableSummary>(1);
  table.inverse_norms = cutter.cut<double>(cosine ? N : 0);
  table.zero_indices = cutter.cut<std::int32_t>(cosine ? args.indices.columns : 0);
  if (!config.use_codes) return table;
  table.mean = cutter.cut<double>(d);
  table.signs = cutter.cut<double>(d);
  table.words = cutter.cut<std::int32_t>(table.padded_points * table.pairs);
  table.minus_half_squares = cutter.cut<std::int32_t>(table.padded_points);
  table.turned = cutter.cut<double>(static_cast<std::size_t>(threads) * d);
  return table;
}

void build_neighbors_table(const NeighborsArgs& args, const NeighborsConfig& config, const NeighborsTable& table,
                           int threads) {
  const std::size_t d = args.points.columns;
  *table.summary = {.unit = 1, .step = 1, .mean_norm = 0, .largest_error = 0, .zero_points = 0};
  if (args.metric == Metric::cosine)
    find_norms(args, table, threads);
  else
    table.summary->unit = unit_scale(args, threads);
  if (!config.use_codes) return;
  for (std::size_t a = 0; a < d; ++a) table.signs[a] = random_sign(a);
  find_mean(args, table, threads);
  table.summary->mean_norm = norm(table.mean, d);
  const double largest = largest_turned(args, table, threads);
  if (largest > 0) table.summary->step = largest / config.levels;  // else all points are alike: any step will do
  make_codes(args, config, table, threads);
}

QueryCode encode_query(const NeighborsConfig& config, const NeighborsTable& table, const float* x, std::size_t d,
                       double scale, double* turned, std::int32_t* words) {
  turn(table, x, d, scale, turned);
  const Code code = round_to_codes(config, table, turned, d, words, 1);
  return {.error = code.error, .own_score = static_cast<double>(code.squares) / 2};
}

double inverse_norm(const float* x, std::size_t d) {
  double sum = 0;
  for (std::size_t a = 0; a < d; ++a) sum += double(x[a]) * x[a];
  return sum > 0 ? 1 / std::sqrt(sum) : 0;
}

}  // namespace lexiscope::cpu
