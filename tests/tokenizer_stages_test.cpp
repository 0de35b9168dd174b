// Normalizers, pre-tokenizers and decoders alone, against `tokenizers` (scripts/goldens_tokenizer_stages.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/core/utf8.h"
#include "host/tokenizer/component_kinds.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;

class Stages : public ::testing::Test {
 protected:
  static const json& golden() {
    static const json golden = json::parse(read_bytes(data_path("tokenizers/stages.json")));
    return golden;
  }

  /// Calls check(spec, result of text i, i) for each stage of that kind; fails where there is none.
  template <typename Check>
  static void each(const std::string& kind, const Check& check) {
    std::size_t stages = 0;
    for (const json& stage : golden()["stages"]) {
      if (stage["kind"] != kind) continue;
      ++stages;
      for (std::size_t i = 0; i < stage["results"].size(); ++i) check(stage["spec"], stage["results"][i], i);
    }
    EXPECT_GT(stages, 5u);
  }
};

TEST_F(Stages, NormalizeAlike) {
  each("normalizer", [](const json& spec, const json& result, std::size_t i) {
    const std::string text = golden()["texts"][i];
    EXPECT_EQ(make_normalizer(spec, "stages")->normalize(AlignedText(text)).text(), result) << spec << json(text);
  });
}

TEST_F(Stages, PreTokenizeAlike) {
  each("pre_tokenizer", [](const json& spec, const json& result, std::size_t i) {
    const std::string text = golden()["texts"][i];
    std::vector<AlignedText> pieces;
    if (!text.empty()) make_pre_tokenizer(spec, "stages")->split(AlignedText(text), pieces);
    json found = json::array();
    for (const AlignedText& piece : pieces) {
      const SourceRange source = piece.source(0, piece.size());
      found.push_back({piece.text(), source.begin, source.end});
    }
    EXPECT_EQ(found, result) << spec << json(text);
  });
}

TEST_F(Stages, DecodeAlike) {
  each("decoder", [](const json& spec, const json& result, std::size_t i) {
    std::vector<std::string> tokens = golden()["tokens"][i];
    make_decoder(spec, "stages")->decode(tokens);
    std::string text;
    for (const std::string& token : tokens) text += token;
    EXPECT_EQ(text, result) << spec << golden()["tokens"][i];
  });
}

// Every byte of a normalized text stands for a range of the text, in order, and a slice for what its bytes stand for.
TEST_F(Stages, KeepPlacesInOrder) {
  each("normalizer", [](const json& spec, const json&, std::size_t i) {
    const std::string text = golden()["texts"][i];
    const AlignedText normalized = make_normalizer(spec, "stages")->normalize(AlignedText(text, 100));
    std::size_t last = 100;
    for (std::size_t at = 0; at < normalized.size(); ++at) {
      const SourceRange source = normalized.source(at, at + 1);
      EXPECT_TRUE(source.begin >= last && source.begin < source.end && source.end <= 100 + text.size()) << spec << at;
      last = source.begin;
      EXPECT_EQ(normalized.slice(at, normalized.size()).source(0, 1), source);
    }
  });
}

TEST(Utf8, ReplacesWhatIsNoCharacter) {
  const std::string mark(kReplacementCharacter);
  EXPECT_EQ(replace_invalid_utf8("a\xC3\xA9 \xF0\x9F\x91\x8D"), "a\xC3\xA9 \xF0\x9F\x91\x8D");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x91z"), mark + "z");         // one for the longest part of a character
  EXPECT_EQ(replace_invalid_utf8("\xE0\x80\xAF"), mark + mark + mark);  // overlong: none of them begins one
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80\xE2\x82"), mark + mark + mark + mark);
  EXPECT_EQ(replace_invalid_utf8("\xFF\xC0\xF5"), mark + mark + mark);
}

TEST(Utf8, GoesThroughEveryCharacter) {
  for (char32_t character = 0; character < 0x110000; character += character == 0xD7FF ? 0x801 : 1) {
    std::string text;
    append_utf8(text, character);
    ASSERT_EQ(utf8_length(text), text.size()) << static_cast<unsigned>(character);
    ASSERT_EQ(character_bytes(text[0]), text.size());
    ASSERT_EQ(character_at(text, 0), character);
    ASSERT_EQ(utf8_length(text.substr(0, text.size() - 1)), 0u);
  }
}

}  // namespace
}  // namespace lexiscope::testing
