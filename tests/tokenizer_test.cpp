// Tokenizers of every family against what Hugging Face's `tokenizers` makes of the same texts
// (scripts/goldens_tokenizers.py): ids, the bytes that each token stands for, and the text decoded again.
#include "lexiscope/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> texts() { return json::parse(read_bytes(data_path("tokenizers/strings.json"))); }

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_path("tokenizers")))
    if (std::filesystem::exists(entry.path() / "golden.jsonl")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<json> goldens(const std::string& family) {
  std::istringstream lines(read_bytes(data_path("tokenizers/" + family + "/golden.jsonl")));
  std::vector<json> goldens;
  for (std::string line; std::getline(lines, line);) goldens.push_back(json::parse(line));
  return goldens;
}

std::vector<std::int32_t> ids_of(const std::vector<Token>& tokens) {
  std::vector<std::int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

// For each token its length in bytes, after a signed step where it does not begin at the end of the one before.
std::string spans_of(const std::vector<Token>& tokens) {
  std::ostringstream spans;
  std::size_t last = 0;
  for (const auto& [id, begin, end] : tokens) {
    if (spans.tellp() > 0) spans << ' ';
    if (begin > last) spans << '+' << begin - last << ' ';
    if (begin < last) spans << '-' << last - begin << ' ';
    spans << end - begin;
    last = end;
  }
  return spans.str();
}

class Family : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(data_path("tokenizers/" + GetParam())); }
};

TEST_P(Family, MakesTheSameTokens) {
  const auto tokenizer = load();
  const auto golden = goldens(GetParam());
  const auto text = texts();
  ASSERT_EQ(golden.size(), text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto tokens = tokenizer->encode(text[i]);
    EXPECT_EQ(ids_of(tokens), golden[i]["ids"].get<std::vector<std::int32_t>>()) << json(text[i]);
    EXPECT_EQ(spans_of(tokens), golden[i]["spans"].get<std::string>()) << json(text[i]);
    EXPECT_EQ(tokenizer->decode(ids_of(tokens)), golden[i].value("decoded", text[i])) << json(text[i]);
  }
}

TEST_P(Family, NamesItsTokens) {
  const auto tokenizer = load();
  for (std::size_t id = 0; id < tokenizer->vocabulary_size(); ++id) {
    const std::string& token = tokenizer->token(static_cast<std::int32_t>(id));
    if (token.empty()) continue;
    EXPECT_EQ(tokenizer->id_of(token), static_cast<std::int32_t>(id)) << token;
  }
  EXPECT_EQ(tokenizer->id_of("no such token"), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Goldens, Family, ::testing::ValuesIn(families()),
                         [](const auto& family) { return family.param; });

TEST(TokenizerGoldens, CanFail) {
  const auto golden = goldens("gpt2");
  const auto other = load_tokenizer(data_path("tokenizers/qwen2"));
  const auto text = texts();
  std::size_t different = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    different += ids_of(other->encode(text[i])) != golden[i]["ids"].get<std::vector<std::int32_t>>();
  EXPECT_GT(different, text.size() / 4);
}

TEST(Tokenizer, RefusesWhatIsNotUtf8) {
  const auto tokenizer = load_tokenizer(data_path("tokenizers/gpt2"));
  const TemporaryFolder folder;
  const auto message = [&](std::string_view text) {
    return folder.error(ErrorCode::kInvalidArgument, [&] { tokenizer->encode(text); });
  };
  EXPECT_EQ(message("ab\xFFgh"), "the text is not UTF-8: byte 2 of 5 is 0xFF");
  EXPECT_EQ(message("\xE2\x82"), "the text is not UTF-8: byte 0 of 2 is 0xE2");
  EXPECT_EQ(message("a\xC0\x80"), "the text is not UTF-8: byte 1 of 3 is 0xC0");
  EXPECT_EQ(message("a\xED\xA0\x80"), "the text is not UTF-8: byte 1 of 4 is 0xED");
  EXPECT_EQ(message("a\xF4\x90\x80\x80"), "the text is not UTF-8: byte 1 of 5 is 0xF4");
}

TEST(Tokenizer, RefusesIdsThatAreNotThere) {
  const auto tokenizer = load_tokenizer(data_path("tokenizers/gpt2"));
  const auto size = static_cast<std::int32_t>(tokenizer->vocabulary_size());
  const TemporaryFolder folder;
  for (const std::int32_t id : {-1, size, INT32_MAX}) {
    const std::string needed = "the token id " + std::to_string(id) + " is not in the vocabulary";
    const std::vector<std::int32_t> ids{0, id};
    EXPECT_THAT(folder.error(ErrorCode::kInvalidArgument, [&] { tokenizer->decode(ids); }), HasSubstr(needed));
    EXPECT_THAT(folder.error(ErrorCode::kInvalidArgument, [&] { tokenizer->token(id); }), HasSubstr(needed));
    EXPECT_FALSE(tokenizer->is_special(id));
  }
}

TEST(Tokenizer, AddsAndLeavesOutSpecialTokens) {
  const auto tokenizer = load_tokenizer(data_path("tokenizers/roberta"));
  const auto begin = tokenizer->id_of("<s>"), end = tokenizer->id_of("</s>");
  ASSERT_TRUE(begin && end);
  EXPECT_TRUE(tokenizer->is_special(*begin));
  EXPECT_FALSE(tokenizer->is_special(*tokenizer->id_of("world")));
  EXPECT_THAT(tokenizer->encode(""), ElementsAre(Token{*begin, 0, 0}, Token{*end, 0, 0}));
  EXPECT_THAT(tokenizer->encode("", false), IsEmpty());
  const auto ids = ids_of(tokenizer->encode("free"));
  EXPECT_EQ(tokenizer->decode(ids), " free");
  EXPECT_EQ(tokenizer->decode(ids, false), "<s> free</s>");
}

TEST(Tokenizer, DecodesPartsOfCharacters) {
  const auto tokenizer = load_tokenizer(data_path("tokenizers/gpt2"));
  std::vector<std::int32_t> ids;
  for (const char* byte : {"ð", "Ł", "ĳ", "Į"}) ids.push_back(*tokenizer->id_of(byte));  // F0 9F 91 8C
  EXPECT_EQ(tokenizer->decode(ids), "👌");
  EXPECT_EQ(tokenizer->decode(std::span(ids).first(3)), "\uFFFD");
  EXPECT_EQ(tokenizer->decode(std::span(ids).subspan(1)), "\uFFFD\uFFFD\uFFFD");
}

TEST(Tokenizer, TakesLongWordsInLittleTime) {
  const auto tokenizer = load_tokenizer(data_path("tokenizers/llama3"));
  for (const char* unit : {"a", "ab ", " ", "\n", "é", "👍", "x1", "don't "}) {
    std::string text;
    while (text.size() < 300'000) text += unit;
    const auto tokens = tokenizer->encode(text, false);
    EXPECT_EQ(tokens.back().end, text.size());
    EXPECT_EQ(tokenizer->decode(ids_of(tokens)), text);
  }
}

// A pattern that takes time or memory without end is told, and never cuts a text elsewhere.
TEST(Tokenizer, GivesUpOnEndlessPatternsAloud) {
  const TemporaryFolder folder;
  json tokenizer = json::parse(read_bytes(data_path("tokenizers/gpt2/tokenizer.json")));
  const auto message = [&](const char* pattern, const std::string& text) {
    tokenizer["pre_tokenizer"] = {
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    folder.write("tokenizer.json", tokenizer.dump());
    const auto loaded = load_tokenizer(folder.path());
    return folder.error(ErrorCode::kInvalidArgument, [&] { loaded->encode(text); });
  };
  EXPECT_THAT(message("(?:a+)+$", std::string(60, 'a') + "b"), HasSubstr("(U_REGEX_TIME_OUT)"));
  EXPECT_THAT(message("(?:(a)|(b))+", std::string(4'000'000, 'a')), HasSubstr("(U_REGEX_STACK_OVERFLOW)"));
}

}  // namespace
}  // namespace lexiscope::testing
