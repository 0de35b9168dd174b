#include "host/tokenizer/prefix_tree.h"

#include <algorithm>
#include <numeric>

namespace lexiscope {

namespace {

// Tokens [begin, end) of the sorted ones, which share what leads to a node.
struct Shared {
  std::size_t begin, end;
};

}  // namespace

PrefixTree::PrefixTree(const std::vector<std::string>& tokens) : nodes_(1) {
  std::vector<std::int32_t> order(tokens.size());
  std::iota(order.begin(), order.end(), 0);
  const auto token = [&](std::size_t place) -> const std::string& {
    return tokens[static_cast<std::size_t>(order[place])];
  };
  std::ranges::stable_sort(order, {},
                           [&](std::int32_t id) -> std::string_view { return tokens[static_cast<std::size_t>(id)]; });

  std::vector<Shared> level{{0, tokens.size()}}, next;
  std::size_t first = 0;  // the node of level[0]
  for (std::size_t depth = 0; !level.empty(); ++depth) {
    next.clear();
    const std::size_t deeper = nodes_.size();
    for (std::size_t i = 0; i < level.size(); ++i) {
      auto [begin, end] = level[i];
      for (; begin < end && token(begin).size() == depth; ++begin)
        if (depth > 0) nodes_[first + i].id = order[begin];
      nodes_[first + i].first = static_cast<std::uint32_t>(nodes_.size());
      while (begin < end) {
        const char byte = token(begin)[depth];
        std::size_t last = begin + 1;
        while (last < end && token(last)[depth] == byte) ++last;
        nodes_.push_back({.byte = static_cast<unsigned char>(byte)});
        ++nodes_[first + i].children;
        next.push_back({begin, last});
        begin = last;
      }
    }
    first = deeper;
    std::swap(level, next);
  }
}

std::size_t PrefixTree::child(std::size_t node, unsigned char byte) const noexcept {
  const Node* const first = nodes_.data() + nodes_[node].first;
  const Node* const last = first + nodes_[node].children;
  const Node* const found =
      std::lower_bound(first, last, byte, [](const Node& at, unsigned char value) { return at.byte < value; });
  return found != last && found->byte == byte ? static_cast<std::size_t>(found - nodes_.data()) : 0;
}

}  // namespace lexiscope
