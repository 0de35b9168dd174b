#include "host/tokenizer/character_map.h"

#include "host/core/utf8.h"

namespace lexiscope {

namespace {

class MappedCharacters final : public Normalizer {
 public:
  explicit MappedCharacters(CharacterMap map) : map_(std::move(map)) {}

  AlignedText normalize(AlignedText from) const override {
    AlignedText text;
    std::string bytes;
    char32_t room[3];
    for (std::size_t at = 0; at < from.size();) {
      const std::size_t end = at + character_bytes(from.text()[at]);
      bytes.clear();
      for (const char32_t character : map_(character_at(from.text(), at), room)) append_utf8(bytes, character);
      text.append(bytes, from.source(at, end));
      at = end;
    }
    return text;
  }

 private:
  CharacterMap map_;
};

}  // namespace

std::unique_ptr<Normalizer> make_character_map(CharacterMap map) {
  return std::make_unique<MappedCharacters>(std::move(map));
}

}  // namespace lexiscope
