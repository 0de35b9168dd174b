// The merges of byte-pair encoding: which two tokens become which, and in what order.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/tokenizer/vocabulary.h"

namespace lexiscope {

/// A token within a piece: bytes [begin, end).
struct Symbol {
  std::int32_t id = 0;
  std::size_t begin = 0, end = 0;
};

class Merges {
 public:
  /// From ["a b", ...] or [["a", "b"], ...], the first of which goes first. The second token of a merge loses the first
  /// `prefix_bytes` bytes. Throws Error{kInvalidFile} naming a merge of tokens that the vocabulary has not.
  Merges(const nlohmann::json& list, const Vocabulary& vocabulary, std::size_t prefix_bytes, const std::string& where);

  /// Merges until no pair of neighbours is left to merge: by rank, then from left to right. n symbols take O(n log n).
  void apply(std::vector<Symbol>& symbols) const;

 private:
  struct Merge {
    std::uint32_t rank;
    std::int32_t id;
  };
  const Merge* find(std::int32_t left, std::int32_t right) const;
  void apply_few(std::vector<Symbol>& symbols) const;
  void apply_many(std::vector<Symbol>& symbols) const;

  struct Hash {
    std::size_t operator()(std::uint64_t pair) const noexcept { return pair * 0x9E3779B97F4A7C15u >> 16; }
  };
  std::unordered_map<std::uint64_t, Merge, Hash> merges_;
};

}  // namespace lexiscope
