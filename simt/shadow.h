// What is known of each word of memory that a block touches: who wrote it last, who has read it since and, of shared
// memory, whether it has been written at all. Words are four bytes; a word that is touched in parts is kept as four
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "simt/happens_before.h"

namespace lexiscope::simt {

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };

enum class Verdict : std::uint8_t { kFine, kUninitialized, kPending, kRace };

struct Finding {
  Verdict verdict = Verdict::kFine;
  Stamp other;               ///< of a race: the other access
  bool other_wrote = false;  ///< and what it was
};

/// Two readers are kept. They are chosen from different warps where they can be, so a writer that no barrier orders
/// after all of a word's readers is unordered with one of the two; only among lanes of one warp that met in parts
/// (__syncwarp of fewer lanes) can a third reader be missed.
struct History {
  Stamp write, read, other_read;
};

/// Adds an access to the history, or says what it races with.
Finding record(History& history, Access access, unsigned thread, const BlockClocks& clocks);

/// Memory that is zero and costs nothing until it is touched.
template <typename T>
class ZeroedArray {
 public:
  explicit ZeroedArray(std::size_t size) : data_(static_cast<T*>(std::calloc(size, sizeof(T)))), size_(size) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  T& operator[](std::size_t i) { return data_.get()[i]; }
  std::size_t size() const { return size_; }
  void clear() { *this = ZeroedArray(size_); }

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_;
};

/// Of a block's shared memory, by offset.
class SharedShadow {
 public:
  explicit SharedShadow(std::size_t bytes);

  void begin_block();
  void forget_stamps();

  Finding access(std::size_t offset, std::size_t bytes, Access access, unsigned thread, const BlockClocks& clocks);

  /// Whole words that a cp.async has been issued for, or has arrived at: touching them in between is a mistake.
  void set_pending(std::size_t offset, std::size_t bytes, bool pending);

 private:
  struct Cell {
    History history;      // of the word, unless it is split
    std::uint32_t state;  // generation << 8 | split << 5 | pending << 4 | a bit for each byte that was written
  };
  static constexpr std::uint32_t kWritten = 0xf, kPending = 0x10, kSplit = 0x20;

  Cell& cell(std::size_t word);
  Finding access_word(Cell& cell, std::size_t word, unsigned bytes, Access access, unsigned thread,
                      const BlockClocks& clocks);

  ZeroedArray<Cell> cells_;
  ZeroedArray<History> bytes_;  // four a word, for split words
  std::uint32_t generation_ = 0;
};

/// Of global memory, by address, as far as one block touches it. A table of fixed size where a word may push out
/// another: then a race on that one can be missed.
class GlobalShadow {
 public:
  GlobalShadow();

  void forget_stamps();

  Finding access(std::uintptr_t address, std::size_t bytes, Access access, unsigned thread, const BlockClocks& clocks);

 private:
  static constexpr unsigned kWordBits = 16;  // 256 KiB of memory at a time: the table stays in a processor's cache
  struct Cell {
    History history;
    std::uint32_t state;  // the address above the table's reach << 1 | split
  };

  Finding access_word(std::uintptr_t word, unsigned bytes, Access access, unsigned thread, const BlockClocks& clocks);

  ZeroedArray<Cell> cells_;
  ZeroedArray<History> bytes_;
};

}  // namespace lexiscope::simt
