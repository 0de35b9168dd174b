// Unigram, the normalizer compiled by sentencepiece and Metaspace: small cases worked out by hand, and the errors for
// what describes none of them. scripts/goldens_tokenizers.py has whole tokenizers.
#include "host/tokenizer/unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/io/base64.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/graphemes.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<PieceToken> tokens_of(const json& spec, std::string_view piece) {
  std::vector<PieceToken> tokens;
  make_token_model(spec, "m")->tokenize(piece, tokens);
  return tokens;
}

json unigram(const std::vector<std::pair<std::string, double>>& vocabulary, json unknown = 0u) {
  return {{"type", "Unigram"}, {"vocab", vocabulary}, {"unk_id", std::move(unknown)}};
}

template <typename Make>
std::string refused(const Make& make, ErrorCode code) {
  return TemporaryFolder().error(code, make);
}

TEST(Unigram, TakesThePathOfTheHighestScore) {
  const json spec = unigram({{"<unk>", 0}, {"a", -1}, {"b", -1}, {"ab", -3}, {"abc", -2.5}, {"c", -1}});
  EXPECT_THAT(tokens_of(spec, "ab"), ElementsAre(PieceToken{1, 0, 1}, PieceToken{2, 1, 2}));
  EXPECT_THAT(tokens_of(spec, "abc"), ElementsAre(PieceToken{4, 0, 3}));
  EXPECT_THAT(tokens_of(spec, ""), IsEmpty());
}

TEST(Unigram, TakesTheLongerLastTokenOfEqualScores) {
  const json spec = unigram({{"<unk>", 0}, {"a", -1}, {"aa", -2}});
  EXPECT_THAT(tokens_of(spec, "aaa"), ElementsAre(PieceToken{1, 0, 1}, PieceToken{2, 1, 3}));
}

TEST(Unigram, JoinsWhatIsUnknown) {
  json spec = unigram({{"<unk>", 0}, {"a", -1}, {"<0xC3>", -9}, {"<0xA9>", -9}, {"<0x62>", -9}});
  EXPECT_THAT(tokens_of(spec, "bébab"), ElementsAre(PieceToken{0, 0, 4}, PieceToken{1, 4, 5}, PieceToken{0, 5, 6}));
  spec["byte_fallback"] = true;  // every byte stands for the whole run
  EXPECT_THAT(tokens_of(spec, "béa"),
              ElementsAre(PieceToken{4, 0, 3}, PieceToken{2, 0, 3}, PieceToken{3, 0, 3}, PieceToken{1, 3, 4}));
  EXPECT_THAT(tokens_of(spec, "béz"), ElementsAre(PieceToken{0, 0, 4}));  // there is no <0x7A>
}

TEST(Unigram, OfEqualTokensTheLastCounts) {
  const json spec = unigram({{"<unk>", 0}, {"a", -1}, {"a", -2}});
  EXPECT_THAT(tokens_of(spec, "a"), ElementsAre(PieceToken{2, 0, 1}));
}

TEST(Unigram, NamesWhatItCannotRead) {
  const auto message = [](const json& spec) {
    return refused([&] { make_token_model(spec, "m"); }, ErrorCode::kInvalidFile);
  };
  EXPECT_EQ(message(json::parse(R"({"type": "Unigram", "vocab": [["a", 0], ["b"]]})")),
            "m: \"vocab\": token 1 is a list of 1, a token and its score are needed");
  EXPECT_EQ(message(json::parse(R"({"type": "Unigram", "vocab": [["a", "b"]]})")),
            "m: \"vocab\": token 0 is a list of 2, a token and its score are needed");
  EXPECT_EQ(message(unigram({{"a", 0}}, 1u)), "m: \"unk_id\" is 1, \"vocab\" has 1 tokens");
  EXPECT_THAT(message(unigram({{"a", 0}}, -1)), HasSubstr("\"unk_id\" is -1"));
  EXPECT_THAT(message({{"type", "Unigram"}}), HasSubstr("\"vocab\" is missing"));
  EXPECT_EQ(refused(
                [] {
                  tokens_of(unigram({{"a", 0}}, nullptr), "ab");
                },
                ErrorCode::kInvalidArgument),
            "the tokenizer has no token for \"b\", and none for what is unknown");
}

TEST(Base64, ReadsBytes) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("YQ=="), "a");
  EXPECT_EQ(decode_base64("YWI="), "ab");
  EXPECT_EQ(decode_base64("YWJj/+8A"), std::string("abc\xFF\xEF\0", 6));
  for (const char* text : {"Y", "YQ", "YQ=", "YR==", "=YQ=", "Y===", "YW I", "YWI-", "YQ==YQ=="})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

std::string bytes_of(std::initializer_list<std::uint32_t> units) {
  std::string bytes;
  for (const std::uint32_t unit : units)
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(unit >> shift);
  return bytes;
}

std::string in_base64(const std::string& bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) text += at + i <= bytes.size() ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

json precompiled(const std::string& bytes) {
  return {{"type", "Precompiled"}, {"precompiled_charsmap", in_base64(bytes)}};
}

// A double array of 256 units with the one entry "\2": unit 0 steps to 1, unit 1 ^ 2 = 3 is labelled 2, has a value and
// steps to 3 ^ 1 = 2, where the value lies.
std::string one_entry(std::uint32_t value, const std::string& replacements) {
  std::string units = bytes_of({1024, 1u << 10, 0, value, 2 | 1u << 8 | 1u << 10});
  units.resize(4 + 1024);
  return units + replacements;
}

TEST(Precompiled, ReplacesTheEntry) {
  const auto normalizer = make_normalizer(precompiled(one_entry(2, std::string("x\0yz\0", 5))), "m");
  const AlignedText text = normalizer->normalize(AlignedText("a\2b"));
  EXPECT_EQ(text.text(), "ayzb");
  EXPECT_EQ(text.source(1, 2), (SourceRange{1, 2}));
  EXPECT_EQ(text.source(2, 3), (SourceRange{1, 2}));
  EXPECT_EQ(text.source(3, 4), (SourceRange{2, 3}));
  EXPECT_EQ(normalizer->normalize(AlignedText("")).text(), "");
}

TEST(Precompiled, NamesWhatLeadsAstray) {
  const auto made = [](const std::string& bytes) {
    return refused([&] { make_normalizer(precompiled(bytes), "m"); }, ErrorCode::kInvalidFile);
  };
  const auto used = [](const std::string& bytes) {
    return refused([&] { make_normalizer(precompiled(bytes), "m")->normalize(AlignedText("\2")); },
                   ErrorCode::kInvalidFile);
  };
  EXPECT_THAT(made(""), HasSubstr("\"precompiled_charsmap\" has 0 bytes"));
  EXPECT_THAT(made(bytes_of({8, 0})), HasSubstr("has 8 bytes, and names an array of 2 units"));
  EXPECT_THAT(made(bytes_of({0xFFFFFFFF, 0})), HasSubstr("names an array of 1073741823 units"));
  EXPECT_THAT(made(one_entry(0, "a\xFF")), HasSubstr("the replacements are not UTF-8 at byte 1"));
  EXPECT_THAT(used(one_entry(9, "x")), HasSubstr("leads to byte 9 of 1 of the replacements"));
  EXPECT_THAT(used(one_entry(1, "é")), HasSubstr("leads to byte 1 of 2 of the replacements"));
  EXPECT_THAT(used(bytes_of({4, 99u << 10})), HasSubstr("leads to unit 97 of 1"));
  EXPECT_THAT(refused(
                  [] {
                    make_normalizer({{"type", "Precompiled"}, {"precompiled_charsmap", "?"}}, "m");
                  },
                  ErrorCode::kInvalidFile),
              HasSubstr("\"precompiled_charsmap\" is not base64"));
}

TEST(Metaspace, NamesWhatItDoesNotKnow) {
  const auto made = [](json spec, ErrorCode code) {
    spec["type"] = "Metaspace";
    return refused([&] { make_pre_tokenizer(spec, "m"); }, code);
  };
  EXPECT_THAT(made({{"replacement", "__"}}, ErrorCode::kInvalidFile), HasSubstr("one character is needed"));
  EXPECT_THAT(made({{"replacement", "_"}, {"prepend_scheme", "last"}}, ErrorCode::kUnsupported), HasSubstr("\"last\""));
  EXPECT_EQ(made({{"replacement", "_"}, {"add_prefix_space", false}}, ErrorCode::kInvalidFile),
            "m: \"add_prefix_space\" is false, but \"prepend_scheme\" is \"always\"");
}

TEST(Graphemes, EndWhereAReaderSeesAnEnd) {
  EXPECT_EQ(grapheme_bytes("ab"), 1u);
  EXPECT_EQ(grapheme_bytes("\r\n\n"), 2u);
  EXPECT_EQ(grapheme_bytes("\n\u0301"), 1u);
  EXPECT_EQ(grapheme_bytes("e\u0301\u0323x"), 5u);
  EXPECT_EQ(grapheme_bytes("\u1100\u1161\u11A8\u1100"), 9u);
  EXPECT_EQ(grapheme_bytes("🇩🇪🇫🇷"), 8u);
  EXPECT_EQ(grapheme_bytes("👩\u200D🚀🚀"), 11u);
  EXPECT_EQ(grapheme_bytes("a\u200D🚀"), 4u);
  EXPECT_EQ(grapheme_bytes("\u0600a"), 3u);
  EXPECT_EQ(grapheme_bytes("a\u0897"), 4u);  // a mark since Unicode 16
}

}  // namespace
}  // namespace lexiscope::testing
