// Tokenizers from GGUF metadata and from vocab.txt: ids beside those of `tokenizers` and sentencepiece
// (scripts/goldens_tokenizers.py), and the errors for metadata that describes no tokenizer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "lexiscope/tokenizer.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::vector<std::int32_t> ids_of(const std::vector<Token>& tokens) {
  std::vector<std::int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

class GgufTokenizer : public ::testing::TestWithParam<std::string> {};

TEST_P(GgufTokenizer, GivesTheIdsOfItsOriginal) {
  const std::string name = "tokenizers/gguf/" + GetParam();
  const auto tokenizer = load_tokenizer(data_path(name + ".gguf"));
  const std::vector<std::string> texts = json::parse(read_bytes(data_path("tokenizers/strings.json")));
  std::istringstream lines(read_bytes(data_path(name + ".jsonl")));
  std::string line;
  for (const std::string& text : texts) {
    ASSERT_TRUE(std::getline(lines, line));
    const json ids = json::parse(line);
    if (ids.is_null()) continue;  // the original does not look for control tokens in a text
    EXPECT_EQ(ids_of(tokenizer->encode(text)), ids.get<std::vector<std::int32_t>>()) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GgufTokenizer, ::testing::Values("byte_level", "sentencepiece"),
                         [](const auto& param_info) { return param_info.param; });

// The same files with a word of the metadata changed for another of the same length.
class ChangedGguf : public ::testing::Test {
 protected:
  std::string refused(const std::string& file, const std::string& from, const std::string& to, ErrorCode code) {
    std::string bytes = read_bytes(data_path("tokenizers/gguf/" + file + ".gguf"));
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos);
    bytes.replace(at, from.size(), to);
    folder_.write("model.gguf", bytes);
    return folder_.error(code, [&] { load_tokenizer(folder_ / "model.gguf"); });
  }
  TemporaryFolder folder_;
};

TEST_F(ChangedGguf, NamesWhatItIsNot) {
  EXPECT_EQ(refused("byte_level", "smollm", "smollx", ErrorCode::kUnsupported),
            "model.gguf: \"tokenizer.ggml.pre\" is \"smollx\"; gpt-2, llama-bpe (llama3, llama-v3), qwen2, smollm and "
            "starcoder are supported");
  EXPECT_EQ(refused("byte_level", "gpt2", "bert", ErrorCode::kUnsupported),
            "model.gguf: \"tokenizer.ggml.model\" is \"bert\"; gpt2 and llama are supported");
  EXPECT_EQ(refused("byte_level", "ggml.pre", "ggml.per", ErrorCode::kInvalidFile),
            "model.gguf: metadata \"tokenizer.ggml.pre\" is missing");
  EXPECT_EQ(refused("sentencepiece", "ggml.scores", "ggml.scorex", ErrorCode::kInvalidFile),
            "model.gguf: metadata \"tokenizer.ggml.scores\" is missing");
  EXPECT_EQ(refused("sentencepiece", "bos_token_id", "sob_token_id", ErrorCode::kInvalidFile),
            "model.gguf: \"tokenizer.ggml.add_bos_token\" is true, but \"tokenizer.ggml.bos_token_id\" is missing");
}

// The vocabulary of a tokenizer.json as BERT's first checkpoints have it.
class VocabularyFile : public ::testing::Test {
 protected:
  VocabularyFile() {
    const json spec = json::parse(read_bytes(data_path("tokenizers/bert_uncased/tokenizer.json")));
    const json& vocabulary = spec["model"]["vocab"];
    tokens_.resize(vocabulary.size());
    for (const auto& [token, id] : vocabulary.items()) tokens_[id.get<std::size_t>()] = token;
  }
  void write() const {
    std::string lines;
    for (const std::string& token : tokens_) lines += token + "\n";
    folder_.write("vocab.txt", lines);
    folder_.write("tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  }
  std::vector<std::string> tokens_;
  TemporaryFolder folder_;
};

TEST_F(VocabularyFile, GivesTheIdsOfTheTokenizerJson) {
  write();
  const auto tokenizer = load_tokenizer(folder_.path()),
             original = load_tokenizer(data_path("tokenizers/bert_uncased"));
  const std::vector<std::string> texts = json::parse(read_bytes(data_path("tokenizers/strings.json")));
  std::size_t compared = 0;
  for (const std::string& text : texts) {
    if (text.size() > 20) continue;  // the original gives up on words of more than 20 characters
    EXPECT_EQ(ids_of(tokenizer->encode(text)), ids_of(original->encode(text))) << text;
    ++compared;
  }
  EXPECT_GT(compared, 80u);
}

TEST_F(VocabularyFile, NamesATokenThatIsThereTwiceOrMissing) {
  tokens_[10] = tokens_[8];
  write();
  EXPECT_THAT(folder_.error(ErrorCode::kInvalidFile, [&] { load_tokenizer(folder_.path()); }),
              HasSubstr("vocab.txt: lines 9 and 11 are both "));
  tokens_ = {"[UNK]", "[CLS]", "a"};
  write();
  EXPECT_EQ(folder_.error(ErrorCode::kInvalidFile, [&] { load_tokenizer(folder_.path()); }),
            "vocab.txt: has no token \"[SEP]\", the \"sep_token\"");
}

}  // namespace
}  // namespace lexiscope::testing
