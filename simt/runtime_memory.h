// The memory that the runtime knows: the device's, in an address range of its own that the host may touch only while
// operations execute, and pinned host memory. What is fresh is filled with bytes that read as NaN and as -1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace lexiscope::simt {

constexpr unsigned char kPoisonByte = 0xff;

class DeviceMemory {
 public:
  DeviceMemory();
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  enum class Start { kLive, kReserved };
  /// Null where the limit would be exceeded. What is only reserved may be used after make_live().
  void* allocate(std::size_t bytes, Start start);
  void make_live(const void* pointer);
  /// False unless `pointer` is what allocate() returned and no free of it has been announced.
  bool announce_free(const void* pointer);
  void free(const void* pointer);
  void free_all();

  bool contains(const void* pointer) const;  ///< in the device's address range, whether allocated or not
  /// All bytes lie in one allocation that nobody has announced to free; `live` asks that it is usable now.
  bool covers(const void* pointer, std::size_t bytes) const;
  bool live(const void* pointer, std::size_t bytes) const;

  void open();   ///< operations execute: the host's threads may read and write
  void close();  ///< they do not: whoever touches device memory crashes, while there is little of it

  void set_limit(std::size_t bytes);
  struct Usage {
    std::size_t limit, bytes, peak_bytes, allocations, allocated;  ///< `allocated` counts since clear_history()
  };
  Usage usage() const;
  void clear_history();

 private:
  struct Block {
    std::size_t bytes;
    bool live;
    bool free_announced;
  };
  const std::pair<const std::uintptr_t, Block>* find(const void* pointer, std::size_t bytes) const;
  void make_live_locked(std::uintptr_t address);
  void protect(std::uintptr_t address, std::size_t bytes, bool accessible) const;
  void release(std::map<std::uintptr_t, Block>::iterator block);

  mutable std::mutex mutex_;
  std::uintptr_t base_;
  std::size_t used_ = 0;  ///< of the range: addresses are not used again while anything is allocated
  bool accessible_ = false;
  std::map<std::uintptr_t, Block> blocks_;
  Usage usage_{};
};

/// Host memory that copies may leave to the device: allocated here, or the caller's own, registered.
class PinnedMemory {
 public:
  void* allocate(std::size_t bytes);
  bool free(void* pointer);
  /// False where part of it is pinned already.
  bool add(void* pointer, std::size_t bytes);
  bool remove(void* pointer);
  void free_all();

  bool contains(const void* pointer) const;
  bool covers(const void* pointer, std::size_t bytes) const;
  std::size_t allocations() const;

 private:
  struct Block {
    std::size_t bytes;
    bool owned;
  };
  std::map<std::uintptr_t, Block>::const_iterator find(const void* pointer) const;
  bool erase(void* pointer, bool owned);

  mutable std::mutex mutex_;
  std::map<std::uintptr_t, Block> blocks_;
};

}  // namespace lexiscope::simt
