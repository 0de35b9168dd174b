// The tokens of a vocabulary that a text begins with, found in one walk along the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lexiscope {

class PrefixTree {
 public:
  /// A token's id is its place; of equal tokens the last one counts. Empty tokens are never found.
  explicit PrefixTree(const std::vector<std::string>& tokens);

  /// Calls found(bytes, id) for each token that `text` begins with, the shortest first.
  template <typename Found>
  void each_prefix(std::string_view text, const Found& found) const {
    std::size_t node = 0;
    for (std::size_t bytes = 0; bytes < text.size();) {
      node = child(node, static_cast<unsigned char>(text[bytes]));
      if (node == 0) return;
      ++bytes;
      if (nodes_[node].id >= 0) found(bytes, nodes_[node].id);
    }
  }

 private:
  struct Node {
    std::uint32_t first = 0, children = 0;  ///< the children lie one after the other, by rising byte
    std::int32_t id = -1;                   ///< of the token that ends here
    unsigned char byte = 0;
  };
  std::size_t child(std::size_t node, unsigned char byte) const noexcept;  ///< 0 where there is none
  std::vector<Node> nodes_;
};

}  // namespace lexiscope
