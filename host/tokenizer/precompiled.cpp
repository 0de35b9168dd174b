#include "host/tokenizer/precompiled.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/base64.h"
#include "host/io/json_file.h"
#include "host/tokenizer/graphemes.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr std::size_t kUnitBytes = sizeof(std::uint32_t);

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = kUnitBytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// A unit of a double array: a node's label and the step to its children, or a value.
class Unit {
 public:
  explicit Unit(std::uint32_t bits) : bits_(bits) {}
  bool has_value() const { return (bits_ >> 8 & 1) != 0; }
  std::size_t value() const { return bits_ & 0x7FFFFFFF; }
  bool is_labelled(unsigned char byte) const { return (bits_ & 0x800000FF) == byte; }
  std::size_t step() const { return static_cast<std::size_t>(bits_ >> 10) << ((bits_ & 0x200) >> 6); }

 private:
  std::uint32_t bits_;
};

class Charsmap {
 public:
  Charsmap(const json& spec, const std::string& where) : where_(where + ": \"precompiled_charsmap\"") {
    const auto bytes = decode_base64(string_field(spec, "precompiled_charsmap", where));
    if (!bytes) fail(ErrorCode::kInvalidFile, "{} is not base64", where_);
    const std::size_t rest = bytes->size() < kUnitBytes ? 0 : bytes->size() - kUnitBytes;
    const std::size_t length = rest == 0 ? 0 : little_endian(*bytes, 0) / kUnitBytes;
    if (length == 0 || length > rest / kUnitBytes)
      fail(ErrorCode::kInvalidFile, "{} has {} bytes, and names an array of {} units", where_, bytes->size(), length);
    for (std::size_t i = 1; i <= length; ++i) units_.emplace_back(little_endian(*bytes, i * kUnitBytes));
    replacements_ = bytes->substr((length + 1) * kUnitBytes);
    if (const auto at = find_invalid_utf8(replacements_))
      fail(ErrorCode::kInvalidFile, "{}: the replacements are not UTF-8 at byte {}", where_, *at);
  }

  /// Of the shortest entry that `text` begins with; nothing where there is none.
  std::optional<std::string_view> find(std::string_view text) const {
    std::size_t node = unit(0).step();
    for (const char character : text) {
      const auto byte = static_cast<unsigned char>(character);
      if (byte == 0) break;
      node ^= byte;
      const Unit next = unit(node);
      if (!next.is_labelled(byte)) break;
      node ^= next.step();
      if (next.has_value()) return replacement(unit(node).value());
    }
    return std::nullopt;
  }

 private:
  Unit unit(std::size_t place) const {
    if (place >= units_.size())
      fail(ErrorCode::kInvalidFile, "{} leads to unit {} of {}", where_, place, units_.size());
    return units_[place];
  }

  std::string_view replacement(std::size_t place) const {
    if (place > replacements_.size() || (place < replacements_.size() && (replacements_[place] & 0xC0) == 0x80))
      fail(ErrorCode::kInvalidFile, "{} leads to byte {} of {} of the replacements, where none begins", where_, place,
           replacements_.size());
    const std::size_t end = std::min(replacements_.find('\0', place), replacements_.size());
    return std::string_view(replacements_).substr(place, end - place);
  }

  std::string where_;
  std::vector<Unit> units_;
  std::string replacements_;
};

// A character of the result. `taken` counts the characters of the text that it takes the place of; one that takes none
// shares the source of the character before it.
struct Mark {
  char32_t character;
  int taken;
};

void append_replacement(std::string_view from, std::string_view to, std::vector<Mark>& marks) {
  const auto before = static_cast<int>(count_characters(from)), after = static_cast<int>(count_characters(to));
  int left = before;
  for (std::size_t at = 0; at < to.size(); at += character_bytes(to[at])) {
    marks.push_back({character_at(to, at), left > 0 ? 1 : 0});
    left -= left > 0;
  }
  // `tokenizers` forgets what goes before any character is left: what follows then stands for the bytes before it.
  if (before > after && !marks.empty()) marks.back().taken += before - after;
}

AlignedText realigned(const AlignedText& from, const std::vector<Mark>& marks) {
  AlignedText text;
  std::string bytes;
  std::size_t at = 0;
  for (const Mark& mark : marks) {
    bytes.clear();
    append_utf8(bytes, mark.character);
    const std::size_t end = mark.taken > 0 ? at + character_bytes(from.text()[at]) : at;
    text.append(bytes, mark.taken > 0 ? from.source(at, end) : from.source(at - 1, at));
    for (int taken = 0; taken < mark.taken; ++taken) at += character_bytes(from.text()[at]);
  }
  return text;
}

class PrecompiledNormalizer final : public Normalizer {
 public:
  PrecompiledNormalizer(const json& spec, const std::string& where) : map_(spec, where) {}

  AlignedText normalize(AlignedText from) const override {
    std::vector<Mark> marks;
    const std::string_view text = from.text();
    for (std::size_t at = 0; at < text.size();) {
      const std::string_view grapheme = text.substr(at, grapheme_bytes(text.substr(at)));
      append_grapheme(grapheme, marks);
      at += grapheme.size();
    }
    return realigned(from, marks);
  }

 private:
  static constexpr std::size_t kShort = 6;  // bytes of a grapheme from which on its characters are looked up alone

  void append_grapheme(std::string_view grapheme, std::vector<Mark>& marks) const {
    const auto whole = grapheme.size() < kShort ? map_.find(grapheme) : std::nullopt;
    if (whole) return append_replacement(grapheme, *whole, marks);
    for (std::size_t at = 0; at < grapheme.size(); at += character_bytes(grapheme[at])) {
      const std::string_view character = grapheme.substr(at, character_bytes(grapheme[at]));
      append_replacement(character, map_.find(character).value_or(character), marks);
    }
  }

  Charsmap map_;
};

}  // namespace

std::unique_ptr<Normalizer> make_precompiled(const json& spec, const std::string& where) {
  return std::make_unique<PrecompiledNormalizer>(spec, where);
}

}  // namespace lexiscope
