#include "simt/runtime_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "simt/device_memory.h"
#include "simt/sanitizers.h"

namespace lexiscope::simt {
namespace {

constexpr std::size_t kRangeBytes = std::size_t{256} << 30;  // of addresses alone: nothing lies behind them at first
constexpr std::size_t kPageBytes = 4096;
// To close and open memory costs about a microsecond a page, for each time that the host waits.
constexpr std::size_t kClosedBytes = std::size_t{1} << 20;
// cudaMalloc promises this alignment and no more, so no allocation has more.
constexpr std::size_t kAlignment = 256;

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

void* pointer_to(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

std::uintptr_t first_page(std::uintptr_t address) { return address & ~(kPageBytes - 1); }

// The pages from the one that holds `address` to the end of `bytes` bytes there.
std::size_t page_bytes(std::uintptr_t address, std::size_t bytes) {
  return (address + bytes + kPageBytes - 1 - first_page(address)) / kPageBytes * kPageBytes;
}

}  // namespace

DeviceMemory::DeviceMemory() {
  void* range = mmap(nullptr, kRangeBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) throw std::bad_alloc();
  base_ = address_of(range);
}

DeviceMemory::~DeviceMemory() { munmap(pointer_to(base_), kRangeBytes); }

void DeviceMemory::protect(std::uintptr_t address, std::size_t bytes, bool accessible) const {
  const int access = accessible ? PROT_READ | PROT_WRITE : PROT_NONE;
  if (mprotect(pointer_to(first_page(address)), page_bytes(address, bytes), access) != 0)
    throw std::system_error(errno, std::generic_category(), "the emulated device's memory: mprotect");
}

void* DeviceMemory::allocate(std::size_t bytes, Start start) {
  const std::lock_guard lock(mutex_);
  if (bytes > usage_.limit || usage_.bytes > usage_.limit - bytes) return nullptr;
  if (blocks_.empty() && used_ > kRangeBytes / 2) used_ = 0;
  const std::uintptr_t address = base_ + used_ + kAlignment;
  // A page lies between any two allocations: what runs off one does not land in the next.
  const std::size_t span = page_bytes(address, bytes) + kPageBytes;
  if (span > kRangeBytes - used_) return nullptr;
  protect(address, bytes, true);
  unpoison(pointer_to(address), bytes);
  std::memset(pointer_to(address), kPoisonByte, bytes);
  // Where AddressSanitizer watches kernels, it knows the allocation's ends to the byte.
  poison(pointer_to(first_page(address)), address - first_page(address));
  poison(pointer_to(address + bytes), first_page(address) + page_bytes(address, bytes) - (address + bytes));
  if (!accessible_) protect(address, bytes, false);
  used_ += span;
  blocks_.emplace(address, Block{.bytes = bytes, .live = false, .free_announced = false});
  if (start == Start::kLive) make_live_locked(address);
  usage_.bytes += bytes;
  usage_.peak_bytes = std::max(usage_.peak_bytes, usage_.bytes);
  ++usage_.allocations;
  ++usage_.allocated;
  return pointer_to(address);
}

void DeviceMemory::make_live(const void* pointer) {
  const std::lock_guard lock(mutex_);
  make_live_locked(address_of(pointer));
}

void DeviceMemory::make_live_locked(std::uintptr_t address) {
  Block& block = blocks_.at(address);
  block.live = true;
  add_device_allocation(pointer_to(address), block.bytes);
}

bool DeviceMemory::announce_free(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(address_of(pointer));
  if (block == blocks_.end() || block->second.free_announced) return false;
  block->second.free_announced = true;
  return true;
}

void DeviceMemory::free(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(address_of(pointer));
  if (block != blocks_.end()) release(block);
}

void DeviceMemory::free_all() {
  const std::lock_guard lock(mutex_);
  while (!blocks_.empty()) release(blocks_.begin());
}

void DeviceMemory::release(std::map<std::uintptr_t, Block>::iterator block) {
  const auto [address, freed] = *block;
  if (freed.live) remove_device_allocation(pointer_to(address));
  poison(pointer_to(first_page(address)), page_bytes(address, freed.bytes));
  madvise(pointer_to(first_page(address)), page_bytes(address, freed.bytes), MADV_DONTNEED);
  protect(address, freed.bytes, false);
  usage_.bytes -= freed.bytes;
  --usage_.allocations;
  blocks_.erase(block);
}

bool DeviceMemory::contains(const void* pointer) const {
  return address_of(pointer) - base_ < kRangeBytes;  // below the range, the difference wraps to something larger
}

const std::pair<const std::uintptr_t, DeviceMemory::Block>* DeviceMemory::find(const void* pointer,
                                                                               std::size_t bytes) const {
  const std::uintptr_t address = address_of(pointer);
  auto block = blocks_.upper_bound(address);
  if (block == blocks_.begin()) return nullptr;
  --block;
  const std::size_t offset = address - block->first;
  return offset <= block->second.bytes && bytes <= block->second.bytes - offset ? &*block : nullptr;
}

bool DeviceMemory::covers(const void* pointer, std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto* block = find(pointer, bytes);
  return block != nullptr && !block->second.free_announced;
}

bool DeviceMemory::live(const void* pointer, std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto* block = find(pointer, bytes);
  return block != nullptr && block->second.live;
}

void DeviceMemory::open() {
  const std::lock_guard lock(mutex_);
  if (accessible_) return;
  if (used_ > 0) protect(base_, used_, true);
  accessible_ = true;
}

void DeviceMemory::close() {
  const std::lock_guard lock(mutex_);
  if (usage_.bytes > kClosedBytes) return;
  if (used_ > 0) protect(base_, used_, false);
  accessible_ = false;
}

void DeviceMemory::set_limit(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  usage_.limit = bytes;
}

DeviceMemory::Usage DeviceMemory::usage() const {
  const std::lock_guard lock(mutex_);
  return usage_;
}

void DeviceMemory::clear_history() {
  const std::lock_guard lock(mutex_);
  usage_.peak_bytes = usage_.bytes;
  usage_.allocated = 0;
}

void* PinnedMemory::allocate(std::size_t bytes) {
  void* pointer = std::aligned_alloc(kPageBytes, (bytes + kPageBytes - 1) / kPageBytes * kPageBytes);
  if (pointer == nullptr) return nullptr;
  std::memset(pointer, kPoisonByte, bytes);
  const std::lock_guard lock(mutex_);
  blocks_.emplace(address_of(pointer), Block{.bytes = bytes, .owned = true});
  return pointer;
}

bool PinnedMemory::erase(void* pointer, bool owned) {
  const auto block = blocks_.find(address_of(pointer));
  if (block == blocks_.end() || block->second.owned != owned) return false;
  blocks_.erase(block);
  if (owned) std::free(pointer);
  return true;
}

bool PinnedMemory::free(void* pointer) {
  const std::lock_guard lock(mutex_);
  return erase(pointer, true);
}

bool PinnedMemory::remove(void* pointer) {
  const std::lock_guard lock(mutex_);
  return erase(pointer, false);
}

bool PinnedMemory::add(void* pointer, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto next = blocks_.lower_bound(address_of(pointer));
  if (next != blocks_.end() && next->first < address_of(pointer) + bytes) return false;
  if (find(pointer) != blocks_.end()) return false;
  blocks_.emplace(address_of(pointer), Block{.bytes = bytes, .owned = false});
  return true;
}

void PinnedMemory::free_all() {
  const std::lock_guard lock(mutex_);
  for (const auto& [address, block] : blocks_)
    if (block.owned) std::free(pointer_to(address));
  blocks_.clear();
}

std::map<std::uintptr_t, PinnedMemory::Block>::const_iterator PinnedMemory::find(const void* pointer) const {
  auto block = blocks_.upper_bound(address_of(pointer));
  if (block == blocks_.begin()) return blocks_.end();
  --block;
  return address_of(pointer) - block->first < block->second.bytes ? block : blocks_.end();
}

bool PinnedMemory::contains(const void* pointer) const {
  const std::lock_guard lock(mutex_);
  return find(pointer) != blocks_.end();
}

bool PinnedMemory::covers(const void* pointer, std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto block = find(pointer);
  return block != blocks_.end() && bytes <= block->second.bytes - (address_of(pointer) - block->first);
}

std::size_t PinnedMemory::allocations() const {
  const std::lock_guard lock(mutex_);
  return blocks_.size();
}

}  // namespace lexiscope::simt
