#include "simt/shadow.h"

#include <algorithm>

namespace lexiscope::simt {
namespace {

constexpr std::size_t kWordBytes = 4;
constexpr unsigned kAllBytes = 0xf;

unsigned warp_of(Stamp stamp) { return stamp.thread() / kWarpSize; }

bool unordered(Stamp earlier, unsigned thread, const BlockClocks& clocks) {
  return earlier && !clocks.ordered(earlier, thread);
}

Finding race_with(Stamp other, bool other_wrote) { return {Verdict::kRace, other, other_wrote}; }

void record_read(History& history, unsigned thread, const BlockClocks& clocks) {
  const Stamp now = clocks.now(thread);
  if (history.read == now || history.other_read == now) return;
  if (!unordered(history.read, thread, clocks)) {
    history.read = now;
  } else if (!unordered(history.other_read, thread, clocks) ||
             (warp_of(history.other_read) == warp_of(history.read) && warp_of(now) != warp_of(history.read))) {
    history.other_read = now;
  }
}

// Does one access to some bytes of a word; `word_bytes` are the four histories that a split word has.
Finding record_in_word(History& word, History* word_bytes, bool& split, unsigned bytes, Access access, unsigned thread,
                       const BlockClocks& clocks) {
  if (!split) {
    if (bytes == kAllBytes) return record(word, access, thread, clocks);
    std::fill_n(word_bytes, kWordBytes, word);
    split = true;
  }
  for (unsigned i = 0; i < kWordBytes; ++i) {
    if ((bytes >> i & 1) == 0) continue;
    const Finding finding = record(word_bytes[i], access, thread, clocks);
    if (finding.verdict != Verdict::kFine) return finding;
  }
  if (bytes == kAllBytes && access != Access::kRead) {  // one history again
    word = word_bytes[0];
    split = false;
  }
  return {};
}

// Calls visit(word, its bytes that lie in [begin, begin + count)) until one is not fine.
template <typename Visit>
Finding for_each_word(std::uintptr_t begin, std::size_t count, const Visit& visit) {
  const std::uintptr_t end = begin + count;
  for (std::uintptr_t word = begin / kWordBytes; word * kWordBytes < end; ++word) {
    const std::uintptr_t first = word * kWordBytes;
    unsigned bytes = kAllBytes;
    if (first < begin) bytes &= kAllBytes << (begin - first);
    if (first + kWordBytes > end) bytes &= kAllBytes >> (first + kWordBytes - end);
    const Finding finding = visit(word, bytes);
    if (finding.verdict != Verdict::kFine) return finding;
  }
  return {};
}

}  // namespace

Finding record(History& history, Access access, unsigned thread, const BlockClocks& clocks) {
  if (unordered(history.write, thread, clocks) && !(access == Access::kAtomic && history.write.atomic()))
    return race_with(history.write, true);
  if (access == Access::kRead) {
    record_read(history, thread, clocks);
    return {};
  }
  for (const Stamp read : {history.read, history.other_read})
    if (unordered(read, thread, clocks)) return race_with(read, false);
  const Stamp now = clocks.now(thread);
  history = {.write = access == Access::kAtomic ? now.as_atomic() : now, .read = {}, .other_read = {}};
  return {};
}

SharedShadow::SharedShadow(std::size_t bytes)
    : cells_((bytes + kWordBytes - 1) / kWordBytes), bytes_((bytes + kWordBytes - 1) / kWordBytes * kWordBytes) {}

void SharedShadow::begin_block() {
  constexpr std::uint32_t kGenerations = 1u << 24;
  if (++generation_ == kGenerations) {
    cells_.clear();
    generation_ = 1;
  }
}

void SharedShadow::forget_stamps() {
  for (std::size_t word = 0; word < cells_.size(); ++word) cells_[word].history = {};  // what was written stays known
  bytes_.clear();
}

SharedShadow::Cell& SharedShadow::cell(std::size_t word) {
  Cell& found = cells_[word];
  if (found.state >> 8 != generation_) found = {.history = {}, .state = generation_ << 8};
  return found;
}

Finding SharedShadow::access(std::size_t offset, std::size_t bytes, Access access, unsigned thread,
                             const BlockClocks& clocks) {
  return for_each_word(offset, bytes, [&](std::size_t word, unsigned part) {
    return access_word(cell(word), word, part, access, thread, clocks);
  });
}

Finding SharedShadow::access_word(Cell& cell, std::size_t word, unsigned bytes, Access access, unsigned thread,
                                  const BlockClocks& clocks) {
  if ((cell.state & kPending) != 0) return {Verdict::kPending, {}, false};
  if (access == Access::kWrite)
    cell.state |= bytes;
  else if ((cell.state & bytes) != bytes)
    return {Verdict::kUninitialized, {}, false};
  bool split = (cell.state & kSplit) != 0;
  const Finding finding =
      record_in_word(cell.history, &bytes_[word * kWordBytes], split, bytes, access, thread, clocks);
  cell.state = split ? cell.state | kSplit : cell.state & ~kSplit;
  return finding;
}

void SharedShadow::set_pending(std::size_t offset, std::size_t bytes, bool pending) {
  for (std::size_t word = offset / kWordBytes; word < (offset + bytes) / kWordBytes; ++word) {
    Cell& found = cell(word);
    found.state = pending ? found.state | kPending : found.state & ~kPending;
  }
}

GlobalShadow::GlobalShadow()
    : cells_(std::size_t{1} << kWordBits), bytes_((std::size_t{1} << kWordBits) * kWordBytes) {}

void GlobalShadow::forget_stamps() {
  cells_.clear();
  bytes_.clear();
}

Finding GlobalShadow::access(std::uintptr_t address, std::size_t bytes, Access access, unsigned thread,
                             const BlockClocks& clocks) {
  return for_each_word(address, bytes, [&](std::uintptr_t word, unsigned part) {
    return access_word(word, part, access, thread, clocks);
  });
}

Finding GlobalShadow::access_word(std::uintptr_t word, unsigned bytes, Access access, unsigned thread,
                                  const BlockClocks& clocks) {
  const std::size_t index = word & ((std::size_t{1} << kWordBits) - 1);
  const auto tag = static_cast<std::uint32_t>(word >> kWordBits << 1);
  Cell& cell = cells_[index];
  if ((cell.state & ~1u) != tag) cell = {.history = {}, .state = tag};
  bool split = (cell.state & 1) != 0;
  const Finding finding =
      record_in_word(cell.history, &bytes_[index * kWordBytes], split, bytes, access, thread, clocks);
  cell.state = tag | (split ? 1u : 0u);
  return finding;
}

}  // namespace lexiscope::simt
