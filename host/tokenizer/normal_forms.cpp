// Unicode's normal forms (UAX 15) of Unicode 9, which is `tokenizers`' version: characters assigned later neither
// decompose, compose nor move. ICU gives decompositions, compositions and combining classes; the walk over them is done
// here, since it must tell which character of the result stands for which of the text.
#include "host/tokenizer/normal_forms.h"

#include <unicode/normalizer2.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

namespace {

// A character of the result. `taken` counts the characters of the text that it takes the place of; one that takes none
// shares the source of the character before it.
struct Mark {
  char32_t character;
  int combining_class;
  int taken;
};

const icu::Normalizer2* checked(const icu::Normalizer2* tables, UErrorCode status) {
  if (U_FAILURE(status)) fail(ErrorCode::kUnsupported, "ICU has no data for normal forms ({})", u_errorName(status));
  return tables;
}

class NormalFormNormalizer final : public Normalizer {
 public:
  explicit NormalFormNormalizer(NormalForm form) : composes_(form == NormalForm::kNfc || form == NormalForm::kNfkc) {
    UErrorCode status = U_ZERO_ERROR;
    const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
    canonical_ = checked(icu::Normalizer2::getNFCInstance(status), status);
    decompositions_ = compatible ? checked(icu::Normalizer2::getNFKCInstance(status), status) : canonical_;
  }

  AlignedText normalize(AlignedText text) const override {
    if (std::all_of(text.text().begin(), text.text().end(), [](char c) { return static_cast<signed char>(c) >= 0; }))
      return text;  // ASCII is in every normal form
    std::vector<Mark> marks = decompose(text.text());
    if (composes_) marks = compose(marks);
    return realign(text, marks);
  }

 private:
  std::vector<Mark> decompose(std::string_view text) const {
    std::vector<Mark> marks;
    std::size_t sorted = 0;  // what follows may still be put in the order of combining classes
    const auto sort = [&] {
      std::stable_sort(marks.begin() + static_cast<std::ptrdiff_t>(sorted), marks.end(),
                       [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
      sorted = marks.size();
    };
    icu::UnicodeString parts;
    for (std::size_t at = 0; at < text.size(); at += character_bytes(text[at])) {
      const char32_t character = character_at(text, at);
      if (!decomposition(character, parts)) parts.setTo(static_cast<UChar32>(character));
      for (std::int32_t unit = 0; unit < parts.length(); unit = parts.moveIndex32(unit, 1)) {
        const auto part = static_cast<char32_t>(parts.char32At(unit));
        const int combining_class = combining_class_of(part);
        if (combining_class == 0) sort();
        marks.push_back({part, combining_class, unit == 0 ? 1 : 0});
      }
    }
    sort();
    return marks;
  }

  bool decomposition(char32_t character, icu::UnicodeString& parts) const {
    return character >= 0x80 && is_in_unicode_9(character) &&
           decompositions_->getDecomposition(static_cast<UChar32>(character), parts);
  }

  int combining_class_of(char32_t character) const {
    return is_in_unicode_9(character) ? canonical_->getCombiningClass(static_cast<UChar32>(character)) : 0;
  }

  // 0 where the two make no character.
  char32_t composition(char32_t first, char32_t second) const {
    const UChar32 whole = canonical_->composePair(static_cast<UChar32>(first), static_cast<UChar32>(second));
    return whole < 0 || !is_in_unicode_9(static_cast<char32_t>(whole)) ? 0 : static_cast<char32_t>(whole);
  }

  std::vector<Mark> compose(const std::vector<Mark>& marks) const {
    std::vector<Mark> composed;
    std::size_t starter = SIZE_MAX;  // the last character of class 0, which later ones may join
    for (const Mark& mark : marks) {
      const bool adjacent = starter + 1 == composed.size();
      const bool blocked = !adjacent && composed.back().combining_class >= mark.combining_class;
      const char32_t whole =
          starter == SIZE_MAX || blocked ? 0 : composition(composed[starter].character, mark.character);
      if (whole != 0) {
        composed[starter].character = whole;
        composed[starter].taken += mark.taken;
        continue;
      }
      composed.push_back(mark);
      if (mark.combining_class == 0) starter = composed.size() - 1;
    }
    return composed;
  }

  static AlignedText realign(const AlignedText& from, const std::vector<Mark>& marks) {
    AlignedText text;
    std::string bytes;
    std::size_t at = 0, before = 0;  // the character that comes next, and the one before it
    for (const Mark& mark : marks) {
      bytes.clear();
      append_utf8(bytes, mark.character);
      const std::size_t first = mark.taken > 0 ? at : before;
      if (mark.taken > 0 && at < from.size()) {
        for (int taken = 0; taken < mark.taken && at < from.size(); ++taken) {
          before = at;
          at += character_bytes(from.text()[at]);
        }
      }
      text.append(bytes, from.source(first, first + character_bytes(from.text()[first])));
    }
    return text;
  }

  bool composes_;
  const icu::Normalizer2* canonical_ = nullptr;
  const icu::Normalizer2* decompositions_ = nullptr;
};

}  // namespace

std::unique_ptr<Normalizer> make_normal_form(NormalForm form) { return std::make_unique<NormalFormNormalizer>(form); }

}  // namespace lexiscope
