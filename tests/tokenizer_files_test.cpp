// The files that tokenizers come from: those of GPT-2's kind, and what is malformed or not supported in each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "lexiscope/tokenizer.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// A tokenizer with a bit of everything, to be spoilt.
json small_tokenizer() {
  return json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true}, {"id": 1, "content": "b", "normalized": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": true, "strip_right": false}]},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated", "invert": false},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"ids": [4], "tokens": ["<s>"]}}},
    "decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"a": 0, "b": 1, "ab": 2, "?": 3},
      "merges": ["a b"]}})");
}

class SmallTokenizer : public ::testing::Test {
 protected:
  void load(const std::string& bytes) {
    folder_.write("tokenizer.json", bytes);
    load_tokenizer(folder_.path());
  }
  std::string message(ErrorCode code, const std::string& bytes) {
    return folder_.error(code, [&] { load(bytes); });
  }
  /// The message after the value at `place` became `value`.
  std::string spoilt(const std::string& place, const json& value, ErrorCode code = ErrorCode::kInvalidFile) {
    json tokenizer = small_tokenizer();
    tokenizer[json::json_pointer(place)] = value;
    return message(code, tokenizer.dump());
  }
  std::string without(const std::string& place, const std::string& key) {
    json tokenizer = small_tokenizer();
    tokenizer[json::json_pointer(place)].erase(key);
    return message(ErrorCode::kInvalidFile, tokenizer.dump());
  }

  TemporaryFolder folder_;
};

TEST_F(SmallTokenizer, IsWhole) {
  load(small_tokenizer().dump());
  const auto tokenizer = load_tokenizer(folder_.path());
  EXPECT_EQ(tokenizer->encode(" ab ab"),
            (std::vector<Token>{{4, 0, 0}, {0, 1, 2}, {1, 2, 3}, {3, 3, 4}, {0, 4, 5}, {1, 5, 6}}));
}

TEST_F(SmallTokenizer, NamesFileFieldAndValue) {
  EXPECT_EQ(
      spoilt("/model/vocab/a", -1),
      "tokenizer.json: \"model\": \"vocab\": token \"a\" has the id -1, an integer from 0 to 2147483646 is needed");
  EXPECT_EQ(spoilt("/model/vocab/a", 3),
            "tokenizer.json: \"model\": \"vocab\": tokens \"?\" and \"a\" both have the id 3");
  EXPECT_THAT(spoilt("/model/vocab/a", 2147483647), HasSubstr("has the id 2147483647"));
  EXPECT_THAT(spoilt("/model/vocab/a", 1e30), HasSubstr("token \"a\" has the id 1e+30"));
  EXPECT_THAT(spoilt("/model/vocab/a", 2000000000), HasSubstr("has the id 2000000000 in a vocabulary of 4 tokens"));
  EXPECT_THAT(spoilt("/model/vocab/a", "0"), HasSubstr("token \"a\" has the id \"0\""));
  EXPECT_EQ(spoilt("/model/vocab", json::array()),
            "tokenizer.json: \"model\": \"vocab\" is a list of 0, an object of tokens and their ids is needed");
  EXPECT_EQ(spoilt("/model/merges/0", "a c"),
            "tokenizer.json: \"model\": \"merges\": merge 0 (\"a\" and \"c\") needs the token \"c\", which the "
            "vocabulary has not");
  EXPECT_THAT(spoilt("/model/merges/0", "b a"), HasSubstr("needs the token \"ba\""));
  EXPECT_THAT(spoilt("/model/merges/0", "a b c"), HasSubstr("merge 0 is \"a b c\", two tokens are needed"));
  EXPECT_THAT(spoilt("/model/merges/0", json{"a", 1}), HasSubstr("merge 0 is a list of 2, two tokens are needed"));
  EXPECT_THAT(spoilt("/model/merges", "a b"), HasSubstr("\"merges\" is \"a b\", a list is needed"));
  EXPECT_THAT(spoilt("/model/unk_token", "x"), HasSubstr("\"unk_token\" is \"x\", which the vocabulary has not"));
  EXPECT_THAT(spoilt("/model/fuse_unk", 1), HasSubstr("\"model\": \"fuse_unk\" is 1, true or false is needed"));
  EXPECT_EQ(without("", "model"), "tokenizer.json: \"model\" is missing");
  EXPECT_EQ(without("/model", "vocab"), "tokenizer.json: \"model\": \"vocab\" is missing");
  EXPECT_EQ(spoilt("/decoder/content", "ab"),
            "tokenizer.json: \"decoder\": \"content\" is \"ab\", one character is needed");
  EXPECT_THAT(spoilt("/decoder/start", -1), HasSubstr("\"start\" is -1, an integer of 0 or more is needed"));
  EXPECT_THAT(without("/normalizer/normalizers/0", "strip_left"),
              HasSubstr("\"normalizer\": \"normalizers\": \"strip_left\" is missing"));
  EXPECT_THAT(spoilt("/normalizer", json::array()), HasSubstr("\"normalizer\" is a list of 0, an object is needed"));
  EXPECT_THAT(spoilt("/normalizer/normalizers/0", 5), HasSubstr("\"normalizers\" holds 5, objects are needed"));
  EXPECT_THAT(spoilt("/pre_tokenizer/pattern/Regex", "(a"), HasSubstr("\"(a\" is not a regular expression"));
}

TEST_F(SmallTokenizer, ChecksAddedAndSpecialTokens) {
  EXPECT_EQ(spoilt("/added_tokens", json::object()), "tokenizer.json: \"added_tokens\" is an object, a list is needed");
  EXPECT_THAT(spoilt("/added_tokens/0", "x"), HasSubstr("holds \"x\", objects are needed"));
  EXPECT_THAT(spoilt("/added_tokens/0/content", ""), HasSubstr("\"added_tokens\": token 0 is empty"));
  EXPECT_THAT(spoilt("/added_tokens/0/content", "b"), HasSubstr("token \"b\""));
  EXPECT_THAT(spoilt("/added_tokens/0/id", 1), HasSubstr("token \"<s>\" has the id 1, which is \"b\" in the model's"));
  EXPECT_THAT(spoilt("/added_tokens/1/id", 5),
              HasSubstr("token \"b\" has the id 5, in the model's vocabulary it is 1"));
  EXPECT_THAT(spoilt("/added_tokens/1/id", 4), HasSubstr("token \"b\" has the id 4, which another has too"));
  EXPECT_THAT(spoilt("/added_tokens/0/id", 2000000000), HasSubstr("has the id 2000000000, the vocabulary has 4"));
  EXPECT_THAT(spoilt("/added_tokens/1/lstrip", "no"), HasSubstr("\"lstrip\" is \"no\", true or false is needed"));
  const json blank{{"id", 5}, {"content", " "}, {"normalized", true}};
  EXPECT_THAT(spoilt("/added_tokens/1", blank), HasSubstr("nothing is left of token \" \" when it is normalized"));
  const std::string ids = "/post_processor/special_tokens/<s>/ids";
  EXPECT_THAT(spoilt(ids, json{5}), HasSubstr("\"post_processor\" adds the id 5, the vocabulary has 5"));
  EXPECT_THAT(spoilt(ids, json{1, 2}), HasSubstr("2 ids for 1 tokens"));
  EXPECT_THAT(spoilt("/post_processor/single/0/SpecialToken/id", "[X]"), HasSubstr("\"[X]\" is missing"));
  EXPECT_THAT(spoilt("/post_processor/single/1/Sequence/id", "B"), HasSubstr("\"id\" is \"B\", \"A\" is needed"));
}

TEST_F(SmallTokenizer, NamesWhatItDoesNotSupport) {
  const auto unsupported = [&](const std::string& place, const json& value) {
    return spoilt(place, value, ErrorCode::kUnsupported);
  };
  EXPECT_EQ(unsupported("/decoder/type", "CTC"),
            "tokenizer.json: \"decoder\": \"type\" is \"CTC\", which this version does not support");
  for (const char* stage : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"})
    EXPECT_THAT(unsupported(std::string("/") + stage + "/type", "Unheard"), HasSubstr("\"type\" is \"Unheard\""));
  EXPECT_THAT(unsupported("/model/dropout", 0.1), HasSubstr("\"dropout\" is 0.1"));
  EXPECT_THAT(unsupported("/pre_tokenizer/behavior", "Lost"), HasSubstr("\"behavior\" is \"Lost\""));
  const std::pair<const char*, const char*> patterns[] = {{"x\\p{Nonsense}", "the property \"Nonsense\" at byte 1"},
                                                          {"a{2}+", "'+' after an interval at byte 4"},
                                                          {"(?m:a)", "the group \"(?\" at byte 0"},
                                                          {"\\K", "\"\\K\" at byte 0"},
                                                          {"[[:alpha:]]", "a POSIX class at byte 1"},
                                                          {"a{1}?", "'?' after an interval"},
                                                          {"\\1", "\"\\1\" at byte 0"},
                                                          {"a[b", "a set that does not end at byte 1"},
                                                          {"a\\", "a backslash at the end at byte 1"},
                                                          {"a{,2}", "an interval without its least count at byte 1"}};
  for (const auto& [pattern, needed] : patterns)
    EXPECT_THAT(unsupported("/pre_tokenizer/pattern/Regex", pattern), HasSubstr(needed));
}

TEST_F(SmallTokenizer, RefusesWhatIsNoTokenizerAtAll) {
  EXPECT_THAT(message(ErrorCode::kInvalidFile, "{"), HasSubstr("tokenizer.json: is not valid JSON at byte"));
  EXPECT_EQ(message(ErrorCode::kInvalidFile, "[]"), "tokenizer.json: is a list of 0, an object is needed");
  EXPECT_EQ(message(ErrorCode::kInvalidFile, "{}"), "tokenizer.json: \"model\" is missing");
  const std::string whole = small_tokenizer().dump();
  for (std::size_t length = 0; length < whole.size(); length += 7)
    EXPECT_THAT(message(ErrorCode::kInvalidFile, whole.substr(0, length)), HasSubstr("not valid JSON"));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += R"({"type":"Sequence","normalizers":[)";
  EXPECT_THAT(message(ErrorCode::kInvalidFile, R"({"normalizer":)" + deep), HasSubstr("nested deeper than 64"));
  const TemporaryFolder empty;
  EXPECT_THAT(empty.error(ErrorCode::kInvalidFile, [&] { load_tokenizer(empty.path()); }),
              HasSubstr("there is no tokenizer.json, vocab.json or vocab.txt"));
}

class Gpt2Files : public ::testing::Test {
 protected:
  Gpt2Files() {
    const json model = json::parse(read_bytes(data_path("tokenizers/gpt2/tokenizer.json")))["model"];
    std::string merges = "#version: 0.2\n";
    for (const json& merge : model["merges"])
      merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
    folder_.write("vocab.json", model["vocab"].dump());
    folder_.write("merges.txt", merges);
  }
  std::string message(ErrorCode code = ErrorCode::kInvalidFile) {
    return folder_.error(code, [&] { load_tokenizer(folder_.path()); });
  }

  TemporaryFolder folder_;
};

TEST_F(Gpt2Files, MakeTheTokenizerOfTokenizerJson) {
  const auto expected = load_tokenizer(data_path("tokenizers/gpt2"));
  const auto tokenizer = load_tokenizer(folder_.path());
  EXPECT_EQ(tokenizer->vocabulary_size(), expected->vocabulary_size());
  const std::vector<std::string> texts = json::parse(read_bytes(data_path("tokenizers/strings.json")));
  for (const std::string& text : texts) EXPECT_EQ(tokenizer->encode(text), expected->encode(text)) << json(text);
}

TEST_F(Gpt2Files, NameTheirSpecialTokens) {
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": true,
    "eos_token": {"content": "</s>", "__type": "AddedToken"}, "pad_token": null,
    "added_tokens_decoder": {"1003": {"content": "Good day", "special": false, "normalized": true}}})");
  folder_.write("special_tokens_map.json", R"({"mask_token": {"content": "<mask>", "lstrip": true},
    "additional_special_tokens": ["<|im_start|>"]})");
  folder_.write("added_tokens.json", R"({"<mask>": 1001, "</s>": 1002})");
  const auto tokenizer = load_tokenizer(folder_.path());
  EXPECT_EQ(tokenizer->id_of("<mask>"), 1001);
  EXPECT_EQ(tokenizer->id_of("</s>"), 1002);
  EXPECT_EQ(tokenizer->id_of("Good day"), 1003);
  EXPECT_EQ(tokenizer->id_of("<|endoftext|>"), 1004);  // begins a text, since no file says otherwise
  EXPECT_EQ(tokenizer->id_of("<|im_start|>"), 1005);
  EXPECT_EQ(tokenizer->vocabulary_size(), 1006u);
  EXPECT_TRUE(tokenizer->is_special(1001) && tokenizer->is_special(1002) && !tokenizer->is_special(1003));
  EXPECT_EQ(tokenizer->encode("</s> <mask>"), (std::vector<Token>{{1002, 0, 4}, {1001, 4, 11}}));
}

TEST_F(Gpt2Files, SayWhatSurroundsAText) {
  folder_.write("tokenizer_config.json", R"({"add_bos_token": true, "add_eos_token": true, "bos_token": "<s>"})");
  const auto tokenizer = load_tokenizer(folder_.path());
  const auto begin = tokenizer->id_of("<s>"), end = tokenizer->id_of("<|endoftext|>"), letter = tokenizer->id_of("a");
  ASSERT_TRUE(begin && end && letter);
  EXPECT_EQ(tokenizer->encode("a"), (std::vector<Token>{{*begin, 0, 0}, {*letter, 0, 1}, {*end, 0, 0}}));
  EXPECT_EQ(tokenizer->encode("a", false), (std::vector<Token>{{*letter, 0, 1}}));
}

TEST_F(Gpt2Files, AreRefusedWhereMalformed) {
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "CodeGenTokenizer"})");
  EXPECT_EQ(message(ErrorCode::kUnsupported),
            "tokenizer_config.json: \"tokenizer_class\" is \"CodeGenTokenizer\"; without a tokenizer.json only "
            "GPT2Tokenizer is supported");
  folder_.write("tokenizer_config.json", R"({"eos_token": 5})");
  EXPECT_EQ(message(), "tokenizer_config.json: \"eos_token\" is 5, a token is needed");
  folder_.write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})");
  EXPECT_EQ(message(), "tokenizer_config.json: \"added_tokens_decoder\": \"x\" is not a token's id");
  folder_.write("tokenizer_config.json", "{}");
  folder_.write("merges.txt", "a b\na");
  EXPECT_THAT(message(), HasSubstr("merge 1 is \"a\", two tokens are needed"));
  folder_.write("merges.txt", "\xFF \xFF");
  EXPECT_EQ(message(), "merges.txt: is not UTF-8 at byte 0");
  std::filesystem::remove(folder_ / "merges.txt");
  EXPECT_THAT(message(), HasSubstr("merges.txt"));
}

}  // namespace
}  // namespace lexiscope::testing
