// mma.sync and ldmatrix. Lane l of a warp has group g = l / 4 and place q = l % 4 in it, as in the PTX ISA's figures.
//
// How mma adds: as the tensor cores of sm_80 do (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA
// tensor cores", 2021). Products are exact. The depth is taken in steps of 8 (16-bit types) or 4 (tf32). In each step
// the products and the accumulator are aligned to the greatest exponent among them, cut off (towards zero) one bit
// below the accumulator's 24, added exactly, and the sum is cut off to f32. So with S = |c| + sum |a b|, and n products
// a step,
//   |d - exact| <= steps * (n + 1 + 2) * 2^-24 * S   (up to terms in 2^-48),
// and the error leans towards zero. Later architectures add more products at once and keep more bits: they err less.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "simt/block.h"
#include "simt/device.h"
#include "simt/exchange.h"

namespace lexiscope::simt {
namespace {

constexpr std::uint32_t kFullWarp = 0xffffffffu;

struct MmaExchange : Exchange {
  float* d;
  const std::uint32_t* a;
  std::uint32_t b[2];
};

struct Bf16 {
  static constexpr unsigned kDepth = 16, kStep = 8;
  static float value(std::uint32_t bits) { return std::bit_cast<float>(bits << 16); }
};

struct F16 {
  static constexpr unsigned kDepth = 16, kStep = 8;
  static float value(std::uint32_t bits) {
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    // The exponent's bias moves from 15 to 127 by a product that is exact, subnormal numbers included.
    const float finite = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
    const std::uint32_t scaled =
        magnitude < 0x7c00u ? std::bit_cast<std::uint32_t>(finite) : 0x7f800000u | (magnitude & 0x3ffu) << 13;
    return std::bit_cast<float>(sign | scaled);
  }
};

struct Tf32 {
  static constexpr unsigned kDepth = 8, kStep = 4;
  static float value(std::uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000u); }
};

constexpr unsigned kRows = 16, kColumns = 8;

template <typename Type>
struct MmaTile {
  float a[kRows][Type::kDepth];
  float b[Type::kDepth][kColumns];
  float d[kRows][kColumns];
};

// The fragments of 16-bit elements, two to a register.
template <typename Type>
void gather(MmaTile<Type>& tile, Exchange* const* lanes) {
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    const auto& in = *static_cast<const MmaExchange*>(lanes[lane]);
    const unsigned g = lane / 4, q = lane % 4;
    for (unsigned i = 0; i < 4; ++i)
      for (unsigned half = 0; half < 2; ++half)
        tile.a[g + 8 * (i % 2)][2 * q + half + 8 * (i / 2)] = Type::value(in.a[i] >> 16 * half & 0xffffu);
    for (unsigned i = 0; i < 2; ++i)
      for (unsigned half = 0; half < 2; ++half)
        tile.b[2 * q + half + 8 * i][g] = Type::value(in.b[i] >> 16 * half & 0xffffu);
  }
}

template <>
void gather(MmaTile<Tf32>& tile, Exchange* const* lanes) {
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    const auto& in = *static_cast<const MmaExchange*>(lanes[lane]);
    const unsigned g = lane / 4, q = lane % 4;
    for (unsigned i = 0; i < 4; ++i) tile.a[g + 8 * (i % 2)][q + 4 * (i / 2)] = Tf32::value(in.a[i]);
    for (unsigned i = 0; i < 2; ++i) tile.b[q + 4 * i][g] = Tf32::value(in.b[i]);
  }
}

// Some neighbouring columns of a row. The compilers' vectors, since the loops are not simple enough for them to
// vectorize.
constexpr unsigned kLanes = 4;
using Doubles [[gnu::vector_size(kLanes * sizeof(double))]] = double;
using Words [[gnu::vector_size(kLanes * sizeof(std::int64_t))]] = std::int64_t;
using Counts [[gnu::vector_size(kLanes * sizeof(std::int32_t))]] = std::int32_t;
using Floats [[gnu::vector_size(kLanes * sizeof(float))]] = float;

Doubles magnitude(Doubles x) { return Doubles(Words(x) & std::numeric_limits<std::int64_t>::max()); }

Doubles widened(const float* row) {
  Floats narrow;
  std::memcpy(&narrow, row, sizeof(narrow));
  return __builtin_convertvector(narrow, Doubles);
}

// One step for kLanes sums of a row: d += sum of a[k] b[k][column].
template <unsigned kTerms>
void add_products(float* d, const float* a, const float* b) {
  constexpr std::int64_t kExponent = 0x7ff0000000000000, kBitsBeyondF32 = (1 << 29) - 1;
  Doubles terms[kTerms + 1];
  terms[kTerms] = widened(d);
  Doubles largest = magnitude(terms[kTerms]), sum = terms[kTerms];
  for (unsigned k = 0; k < kTerms; ++k) {
    terms[k] = static_cast<double>(a[k]) * widened(b + k * kColumns);
    largest = magnitude(terms[k]) > largest ? magnitude(terms[k]) : largest;
    sum += terms[k];
  }
  // Columns of zeros get any unit; 2^(the exponent of the largest) in the others.
  const Doubles ones = Doubles{} + 1.0;
  const Doubles power = Doubles(Words(largest > 0.0 ? largest : ones) & kExponent);
  const Doubles scale = 0x1p24 / power;
  Counts units{};  // of the last bit that is kept: 9 terms below 2^25
  for (const Doubles& term : terms) units += __builtin_convertvector(term * scale, Counts);
  const Doubles exact = __builtin_convertvector(units, Doubles) * power * 0x1p-24;
  const Floats rounded = __builtin_convertvector(Doubles(Words(exact) & ~kBitsBeyondF32), Floats);
  for (unsigned column = 0; column < kLanes; ++column)  // what is not finite goes the ordinary way
    d[column] = std::isfinite(sum[column]) ? rounded[column] : static_cast<float>(sum[column]);
}

template <typename Type>
void multiply(MmaTile<Type>& tile) {
  for (unsigned row = 0; row < kRows; ++row)
    for (unsigned column = 0; column < kColumns; column += kLanes)
      for (unsigned k = 0; k < Type::kDepth; k += Type::kStep)
        add_products<Type::kStep>(&tile.d[row][column], &tile.a[row][k], &tile.b[k][column]);
}

template <typename Visit>
void for_each_accumulator(Exchange* const* lanes, const Visit& visit) {
  for (unsigned lane = 0; lane < kWarpSize; ++lane)
    for (unsigned i = 0; i < 4; ++i)
      visit(static_cast<MmaExchange*>(lanes[lane])->d[i], lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2);
}

template <typename Type>
void do_mma(Exchange* const* lanes, std::uint32_t) {
  MmaTile<Type> tile;
  gather(tile, lanes);
  for_each_accumulator(lanes, [&](float d, unsigned row, unsigned column) { tile.d[row][column] = d; });
  multiply(tile);
  for_each_accumulator(lanes, [&](float& d, unsigned row, unsigned column) { d = tile.d[row][column]; });
}

template <typename Type>
void mma(float* d, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1, const char* name, SourceLine line) {
  MmaExchange exchange;
  exchange.d = d;
  exchange.a = a;
  exchange.b[0] = b0;
  exchange.b[1] = b1;
  running_block(name).warp_operation(kFullWarp, do_mma<Type>, &exchange, name, line);
}

struct LdmatrixExchange : Exchange {
  std::uint16_t row[8];  // the one that this lane's address is of
  std::uint32_t* result;
};

template <bool kTransposed>
void do_ldmatrix(Exchange* const* lanes, std::uint32_t) {
  const auto element = [&](unsigned matrix, unsigned row, unsigned column) -> std::uint32_t {
    return static_cast<const LdmatrixExchange*>(lanes[matrix * 8 + row])->row[column];
  };
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    const unsigned g = lane / 4, q = lane % 4;
    for (unsigned matrix = 0; matrix < 4; ++matrix)
      static_cast<LdmatrixExchange*>(lanes[lane])->result[matrix] =
          kTransposed ? element(matrix, 2 * q, g) | element(matrix, 2 * q + 1, g) << 16
                      : element(matrix, g, 2 * q) | element(matrix, g, 2 * q + 1) << 16;
  }
}

}  // namespace

void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                       SourceLine line) {
  mma<Bf16>(d, a, b0, b1, "mma.m16n8k16.bf16", line);
}

void mma_m16n8k16_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, SourceLine line) {
  mma<F16>(d, a, b0, b1, "mma.m16n8k16.f16", line);
}

void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, SourceLine line) {
  mma<Tf32>(d, a, b0, b1, "mma.m16n8k8.tf32", line);
}

void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, bool transposed, SourceLine line) {
  constexpr const char* kName = "ldmatrix";
  Block& block = running_block(kName);
  LdmatrixExchange exchange;
  block.check_shared_access(row, sizeof(exchange.row), Access::kRead, sizeof(exchange.row), kName, line);
  std::memcpy(exchange.row, row, sizeof(exchange.row));
  exchange.result = r;
  block.warp_operation(kFullWarp, transposed ? do_ldmatrix<true> : do_ldmatrix<false>, &exchange, kName, line);
}

}  // namespace lexiscope::simt
