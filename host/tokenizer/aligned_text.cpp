#include "host/tokenizer/aligned_text.h"

#include "host/core/utf8.h"

namespace lexiscope {

AlignedText::AlignedText(std::string_view original, std::size_t first) : text_(original) {
  sources_.reserve(original.size());
  for (std::size_t at = 0; at < original.size();) {
    const std::size_t bytes = character_bytes(original[at]);
    sources_.insert(sources_.end(), bytes, {first + at, first + at + bytes});
    at += bytes;
  }
}

SourceRange AlignedText::source(std::size_t begin, std::size_t end) const {
  if (begin < end) return {sources_[begin].begin, sources_[end - 1].end};
  if (begin < sources_.size()) return {sources_[begin].begin, sources_[begin].begin};
  const std::size_t last = sources_.empty() ? 0 : sources_.back().end;
  return {last, last};
}

void AlignedText::append(std::string_view text, SourceRange source) {
  text_ += text;
  sources_.insert(sources_.end(), text.size(), source);
}

void AlignedText::append(const AlignedText& from, std::size_t begin, std::size_t end) {
  text_.append(from.text_, begin, end - begin);
  const auto first = from.sources_.begin();
  sources_.insert(sources_.end(), first + static_cast<std::ptrdiff_t>(begin), first + static_cast<std::ptrdiff_t>(end));
}

AlignedText AlignedText::slice(std::size_t begin, std::size_t end) const {
  AlignedText part;
  part.append(*this, begin, end);
  return part;
}

AlignedText with_prefix(std::string_view prefix, const AlignedText& text) {
  AlignedText longer;
  if (text.empty()) return longer;
  longer.append(prefix, text.source(0, character_bytes(text.text()[0])));
  longer.append(text, 0, text.size());
  return longer;
}

}  // namespace lexiscope
