#include "host/tokenizer/bert.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "host/tokenizer/character_map.h"
#include "host/tokenizer/normal_forms.h"
#include "host/tokenizer/pattern.h"
#include "host/tokenizer/spec.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

using nlohmann::json;

namespace {

using Room = std::span<char32_t, 3>;

std::u32string_view cleaned(char32_t character, Room room) {
  const bool space = is_white_space(character) &&
                     (!is_control(character) || character == '\t' || character == '\n' || character == '\r');
  room[0] = space ? U' ' : character;
  const bool goes = !space && (character == 0 || character == 0xFFFD || is_control(character));
  return {room.data(), goes ? std::size_t{0} : std::size_t{1}};
}

// The blocks of ideographs that BERT's authors list.
bool is_ideograph(char32_t character) {
  constexpr char32_t kBlocks[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                                     {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  for (const auto& [first, last] : kBlocks)
    if (character >= first && character <= last) return true;
  return false;
}

std::u32string_view with_spaces(char32_t character, Room room) {
  if (!is_ideograph(character)) return room[0] = character, std::u32string_view{room.data(), 1};
  room[0] = room[2] = U' ';
  room[1] = character;
  return {room.data(), 3};
}

std::u32string_view without_nonspacing_marks(char32_t character, Room room) {
  room[0] = character;
  return {room.data(), is_nonspacing_mark(character) ? std::size_t{0} : std::size_t{1}};
}

class BertNormalizer final : public Normalizer {
 public:
  BertNormalizer(const json& spec, const std::string& where) {
    const bool lower = flag_field(spec, "lowercase", where);
    if (flag_field(spec, "clean_text", where)) stages_.push_back(make_character_map(cleaned));
    if (flag_field(spec, "handle_chinese_chars", where)) stages_.push_back(make_character_map(with_spaces));
    if (flag_field(spec, "strip_accents", lower, where)) {
      stages_.push_back(make_normal_form(NormalForm::kNfd));
      stages_.push_back(make_character_map(without_nonspacing_marks));
    }
    if (lower) stages_.push_back(make_character_map(lowercase));
  }

  AlignedText normalize(AlignedText text) const override {
    for (const auto& stage : stages_) text = stage->normalize(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> stages_;
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  void split(AlignedText piece, std::vector<AlignedText>& pieces) const override {
    std::vector<AlignedText> words;
    split_at(piece, parts_by_character(piece.text(), is_white_space), SplitBehavior::kRemoved, words);
    for (const AlignedText& word : words)
      split_at(word, parts_by_character(word.text(), is_punctuation), SplitBehavior::kIsolated, pieces);
  }
};

}  // namespace

std::unique_ptr<Normalizer> make_bert_normalizer(const json& spec, const std::string& where) {
  return std::make_unique<BertNormalizer>(spec, where);
}

std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer() { return std::make_unique<BertPreTokenizer>(); }

}  // namespace lexiscope
