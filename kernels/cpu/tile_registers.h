// The eight tile registers of a processor with AMX. A tile is 16 rows of 64 bytes: 16 x 32 bf16, or 16 x 16 f32. The
// instructions are written as assembly, which every compiler takes without being told of a processor that has them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lexiscope::cpu {

inline constexpr std::size_t kTileSide = 16;   ///< rows of a tile; columns, of f32
inline constexpr std::size_t kTileDepth = 32;  ///< columns of bf16: steps of a contraction in one product
inline constexpr std::size_t kTileElements = kTileSide * kTileDepth;  ///< of bf16

/// Whether the processor multiplies tiles of bf16 and the system lets this process use them, for which it is asked
/// once.
bool tiles_present();

#if defined(__x86_64__)

/// The calling thread's registers, for as long as the object lives. Only where tiles_present().
class HardwareTiles {
 public:
  HardwareTiles() {
    struct alignas(64) {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) config.row_bytes[tile] = 64, config.rows[tile] = kTileSide;
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~HardwareTiles() { asm volatile("tilerelease"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int kTile>
  void zero() const {
    asm volatile("tilezero %%tmm%c0" ::"n"(kTile));
  }
  /// Strides are in bytes, from row to row.
  template <int kTile>
  void load(const void* from, std::size_t stride) const {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "n"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, std::size_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "n"(kTile) : "memory");
  }
  /// sums[i][j] += sum over k of a[i][2k] b[k][2j] + a[i][2k + 1] b[k][2j + 1], k < 16: products of bf16 are exact, the
  /// sums of even and odd elements are taken in f32 each and added to sums[i][j] together. Subnormals count as 0.
  template <int kSums, int kA, int kB>
  void multiply_add() const {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"n"(kSums), "n"(kA), "n"(kB));
  }
};

#else

class HardwareTiles {  // nobody makes one
 public:
  template <int kTile>
  void zero() const {}
  template <int kTile>
  void load(const void*, std::size_t) const {}
  template <int kTile>
  void store(void*, std::size_t) const {}
  template <int kSums, int kA, int kB>
  void multiply_add() const {}
};

#endif

}  // namespace lexiscope::cpu
