// Regular expressions on ICU's engine, whose offsets count UTF-16: found there, told in bytes of UTF-8.
#include <unicode/regex.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/tokenizer/oniguruma.h"
#include "host/tokenizer/pattern.h"

namespace lexiscope {

namespace {

// Where a pattern backtracks without end ICU gives up, which is told: past this many bytes of states, or past so many
// of its units of 10,000 steps in all. The patterns of tokenizers take some tens of steps a byte.
constexpr std::int32_t kStackBytes = 64 << 20;

std::int32_t most_time(std::size_t bytes) {
  return static_cast<std::int32_t>(std::min<std::size_t>(1'000 + bytes / 10, INT32_MAX));
}

icu::UnicodeString utf16(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
}

// Turns rising UTF-16 offsets into byte offsets.
class ByteOffsets {
 public:
  explicit ByteOffsets(std::string_view text) : text_(text) {}

  std::size_t at(std::int32_t unit) {
    while (unit_ < unit) {
      const std::size_t bytes = character_bytes(text_[byte_]);
      byte_ += bytes;
      unit_ += bytes == 4 ? 2 : 1;
    }
    return byte_;
  }

 private:
  std::string_view text_;
  std::size_t byte_ = 0;
  std::int32_t unit_ = 0;
};

class RegexPattern final : public Pattern {
 public:
  RegexPattern(std::string_view oniguruma, const std::string& where) : shown_(in_quotes(oniguruma)) {
    UErrorCode status = U_ZERO_ERROR;
    compiled_.reset(
        icu::RegexPattern::compile(utf16(icu_pattern(oniguruma, where)), UREGEX_MULTILINE | UREGEX_UNIX_LINES, status));
    if (U_FAILURE(status))
      fail(ErrorCode::kInvalidFile, "{}: {} is not a regular expression ({})", where, shown_, u_errorName(status));
  }

  std::vector<TextPart> parts(std::string_view text) const override {
    std::vector<TextPart> parts;
    if (text.empty()) return parts;
    require(text.size() <= INT32_MAX, "the text is {} bytes long, at most {} are possible", text.size(), INT32_MAX);
    UErrorCode status = U_ZERO_ERROR;
    const icu::UnicodeString units = utf16(text);
    const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->matcher(units, status));
    check(status, text);
    matcher->setStackLimit(kStackBytes, status);
    matcher->setTimeLimit(most_time(text.size()), status);
    ByteOffsets bytes(text);
    std::size_t done = 0;
    bool any = false;
    while (matcher->find(status)) {
      const std::size_t begin = bytes.at(matcher->start(status)), end = bytes.at(matcher->end(status));
      if (begin == end && any && begin == done) continue;  // Oniguruma: no empty match where the last one ended
      if (begin > done) parts.push_back({done, begin, false});
      parts.push_back({begin, end, true});
      done = end;
      any = true;
    }
    check(status, text);
    if (done < text.size()) parts.push_back({done, text.size(), false});
    return parts;
  }

 private:
  void check(UErrorCode status, std::string_view text) const {
    require(U_SUCCESS(status), "the regular expression {} does not get through a text of {} bytes ({})", shown_,
            text.size(), u_errorName(status));
  }

  std::string shown_;
  std::unique_ptr<icu::RegexPattern> compiled_;
};

}  // namespace

std::unique_ptr<Pattern> make_regex(std::string_view oniguruma, const std::string& where) {
  return std::make_unique<RegexPattern>(oniguruma, where);
}

}  // namespace lexiscope
