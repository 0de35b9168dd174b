// UTF-8 text on its way through a tokenizer: every byte remembers which bytes of the user's text it came from.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lexiscope {

/// Bytes [begin, end) of the user's text.
struct SourceRange {
  std::size_t begin = 0, end = 0;
  bool operator==(const SourceRange&) const = default;
};

class AlignedText {
 public:
  AlignedText() = default;
  /// Valid UTF-8, every character's bytes standing for that character. `first` is the text's place in the user's text.
  explicit AlignedText(std::string_view original, std::size_t first = 0);

  const std::string& text() const noexcept { return text_; }
  std::size_t size() const noexcept { return text_.size(); }
  bool empty() const noexcept { return text_.empty(); }
  /// What the bytes [begin, end) of text() came from: of an empty range the place between its neighbours.
  SourceRange source(std::size_t begin, std::size_t end) const;

  void append(std::string_view text, SourceRange source);  ///< all of whose bytes came from `source`
  void append(const AlignedText& from, std::size_t begin, std::size_t end);
  AlignedText slice(std::size_t begin, std::size_t end) const;

 private:
  std::string text_;
  std::vector<SourceRange> sources_;  ///< one a byte
};

/// `prefix` before `text`, as part of its first character; nothing before an empty text.
AlignedText with_prefix(std::string_view prefix, const AlignedText& text);

}  // namespace lexiscope
