// lexiscope trace as people and scripts run it, on small checkpoints with a vocabulary of a few words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/io/run_directory.h"
#include "tests/support/program.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class TraceCli : public ::testing::Test {
 protected:
  /// The checkpoints of tests/data/models have 61 tokens; here they get names.
  TraceCli() {
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (const char* word : {"the", "king", "of", "france", "is", "bald", "##er", ".", ","})
      vocabulary += word + std::string("\n");
    for (int i = 14; i < 61; ++i) vocabulary += "word" + std::to_string(i) + "\n";
    for (const char* name : {"bert", "bert_mlm", "gpt2"}) {
      fs::create_directory(folder_ / name);
      for (const char* file : {"config.json", "model.safetensors"})
        fs::copy_file(data_path("models") / name / file, folder_ / name / file);
      folder_.write(name + std::string("/vocab.txt"), vocabulary);
    }
  }

  std::string path(const std::string& name) const { return folder_ / name; }

  Outcome trace(const std::string& model, const Words& more, const std::string& out = "run") const {
    Words words{"trace", path(model), "--out", path(out), "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return program_.run(words);
  }

  /// What is said of bad input, which ends with status 2 and writes nothing.
  std::string refused(const std::string& model, const Words& more) const {
    const Outcome outcome = trace(model, more, "refused");
    EXPECT_EQ(outcome.status, 2) << outcome.out << outcome.error;
    EXPECT_FALSE(fs::exists(folder_ / "refused"));
    return outcome.error;
  }

  TemporaryFolder folder_{fast_folder()};
  Program program_{folder_.path()};
};

const std::string kText = "The king of France is balder.";

TEST_F(TraceCli, TellsOfTextLayersAndFiles) {
  const Outcome outcome = trace("bert", {"--text", kText});
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("10 tokens"), HasSubstr("[CLS] | The | king | of | France | is | bald | er"),
                                 HasSubstr("█"), HasSubstr("hidden_states.npy"), Not(HasSubstr("\x1b["))));
  const RunReader run(folder_ / "run");
  EXPECT_EQ(run.manifest().at("job"), "trace");
  EXPECT_THAT(run.tokens(), ElementsAre("[CLS]", "the", "king", "of", "france", "is", "bald", "##er", ".", "[SEP]"));
}

TEST_F(TraceCli, GivesTheSameNumbersAsJson) {
  const Outcome outcome = trace("gpt2", {"--text", kText, "--json", "--lens", "--generate", "4", "--top-k", "2"});
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  const json object = json::parse(outcome.out);
  EXPECT_EQ(object.at("tokens").at(2), "king");
  EXPECT_EQ(object.at("token_ids").at(2), 6);
  EXPECT_EQ(object.at("offsets").at(2), json({4, 8}));
  EXPECT_TRUE(object.at("token_log_prob").at(0).is_null());
  EXPECT_LT(object.at("token_log_prob").at(1), 0);
  ASSERT_EQ(object.at("layers").size(), 3u);
  for (const char* mean : {"drift", "drift_relative", "drift_cosine", "attention_entropy", "attention_update",
                           "mlp_update", "lens_entropy", "lens_log_prob"})
    EXPECT_TRUE(object.at("layers").at(1).at(mean).is_number()) << mean;
  EXPECT_NEAR(object.at("perplexity"), std::exp(-object.at("log_prob").get<double>() / 9), 1e-9);
  EXPECT_TRUE(object.at("arrays").contains("generated_ids"));
  EXPECT_EQ(object.at("generated").at(0).at("rank"), 1);
}

TEST_F(TraceCli, TakesTextFromFilesAndIds) {
  folder_.write("text.txt", kText);
  folder_.write("ids.txt", "2 5 6\n7 8\t9 10 11 12 3\n");
  EXPECT_EQ(trace("gpt2", {"--text", kText, "--quiet"}, "text").out, "");
  EXPECT_EQ(trace("gpt2", {"--file", path("text.txt")}, "file").status, 0);
  const Outcome ids = trace("gpt2", {"--ids", path("ids.txt")}, "ids");
  EXPECT_THAT(ids.out, HasSubstr("france"));
  for (const char* other : {"file", "ids"})
    EXPECT_EQ(read_bytes(folder_ / other / "hidden_states.npy"), read_bytes(folder_ / "text/hidden_states.npy"));
  fs::remove(folder_ / "gpt2/vocab.txt");
  const Outcome nameless = trace("gpt2", {"--ids", path("ids.txt"), "--generate", "2"}, "nameless");
  EXPECT_THAT(nameless.out, HasSubstr("[id 8]"));
  EXPECT_THAT(refused("gpt2", {"--text", kText}), HasSubstr("gpt2"));
}

TEST_F(TraceCli, TracesManyTexts) {
  folder_.write("texts.txt", "\nthe king\nof france\n\n \r\nis bald\r\n\n");
  folder_.write("texts.jsonl", "{\"text\": \"the king\\nof france\"}\n\n{\"text\": \"is bald\", \"id\": 1}\n");
  const Outcome outcome = trace("bert_mlm", {"--file", path("texts.txt"), "--batch", "--maps", "topk"}, "plain");
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("10 tokens in 2 texts"), HasSubstr("Tokens of the first text")));
  EXPECT_EQ(trace("bert_mlm", {"--file", path("texts.jsonl"), "--batch"}, "json").status, 0);
  EXPECT_EQ(read_bytes(folder_ / "json/text_offsets.npy"), read_bytes(folder_ / "plain/text_offsets.npy"));
  EXPECT_EQ(read_bytes(folder_ / "json/token_log_prob.npy"), read_bytes(folder_ / "plain/token_log_prob.npy"));
  EXPECT_THAT(refused("bert_mlm", {"--file", path("texts.txt"), "--batch", "--maps", "full"}),
              HasSubstr("maps full is of one text alone, there are 2"));
}

TEST_F(TraceCli, CutsWhatDoesNotFitWhereItMay) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "king ";
  EXPECT_THAT(refused("bert", {"--text", text}),
              HasSubstr("the text has 42 tokens, there is room for 32 in the model's context; --truncate keeps"));
  EXPECT_EQ(trace("bert", {"--text", text, "--truncate"}).status, 0);
  const auto tokens = RunReader(folder_ / "run").tokens();
  EXPECT_EQ(tokens.size(), 32u);
  EXPECT_EQ(tokens[30], "king");
  EXPECT_EQ(tokens[31], "[SEP]");
  EXPECT_EQ(trace("gpt2", {"--text", text, "--truncate", "--generate", "5"}, "more").status, 0);
  EXPECT_EQ(RunReader(folder_ / "more").tokens().size(), 27u);
}

TEST_F(TraceCli, ComputesNoFurtherThanTheLayersWanted) {
  EXPECT_EQ(trace("gpt2", {"--text", kText, "--layers", "0-1"}).status, 0);
  const auto arrays = RunReader(folder_ / "run").manifest().at("arrays");
  EXPECT_EQ(arrays.at("drift").at("shape"), json({2, 10}));
  EXPECT_FALSE(arrays.contains("next_log_prob"));
}

TEST_F(TraceCli, SaysWhatIsWrong) {
  folder_.write("empty.txt", "");
  folder_.write("bytes.txt", "king\xff");
  folder_.write("ids.txt", "2 5\n6 seven");
  folder_.write("large.txt", "2 61");
  folder_.write("texts.jsonl", "{\"text\": \"a\"}\n{\"texts\": 1}\n");
  EXPECT_THAT(refused("bert", {}), HasSubstr("exactly one of --text, --file and --ids is needed"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--ids", "b"}), HasSubstr("exactly one of"));
  EXPECT_THAT(refused("bert", {"--text", ""}), HasSubstr("--text is empty"));
  EXPECT_THAT(refused("bert", {"--text", " \n"}), HasSubstr("--text is empty: it has no tokens of its own"));
  EXPECT_THAT(refused("bert", {"--file", path("empty.txt")}), HasSubstr("empty.txt is empty"));
  EXPECT_THAT(refused("bert", {"--file", path("none.txt")}), HasSubstr("none.txt"));
  EXPECT_THAT(refused("bert", {"--file", path("bytes.txt")}), HasSubstr("byte 4 of 5 is 0xFF"));
  EXPECT_THAT(refused("bert", {"--ids", path("ids.txt")}), HasSubstr("ids.txt: line 2: \"seven\" is no token id"));
  EXPECT_THAT(refused("bert", {"--ids", path("large.txt")}),
              HasSubstr("token 1 of the text has the id 61, the model's are 0 to 60"));
  EXPECT_THAT(refused("bert", {"--file", path("texts.jsonl"), "--batch"}), HasSubstr("line 2"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--batch"}), HasSubstr("--batch parts the texts of a --file"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--layers", "1-2"}), HasSubstr("layers is 1-2, the model's are 0 to 1"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--layers", "1"}), HasSubstr("needs to be A-B"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--maps", "all"}), HasSubstr("all"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--pool", "3"}), HasSubstr("--pool is given without --maps pooled"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--maps", "pooled", "--pool", "-1"}),
              HasSubstr("--pool: is \"-1\", needs to be a whole number from 0 to"));
  for (const char* option : {"--top-k", "--generate", "--seed", "--threads"})
    for (const std::string number : {"-1", "", "99999999999999999999"})
      EXPECT_THAT(refused("gpt2", {"--text", "a", option, number}), HasSubstr(option + (": is \"" + number) + "\""));
  EXPECT_THAT(refused("bert", {"--text", "a", "--precision", "f16"}), HasSubstr("f16"));
  EXPECT_THAT(refused("bert", {"--text", "a", "--lens"}), HasSubstr("lens needs a model that predicts tokens"));
  EXPECT_THAT(refused("gpt2", {"--text", "a", "--temperature", "1"}), HasSubstr("no tokens are to be generated"));
  EXPECT_THAT(refused("nothing", {"--text", "a"}), HasSubstr("nothing"));
}

TEST_F(TraceCli, OverwritesOnlyWhenTold) {
  EXPECT_EQ(trace("gpt2", {"--text", kText}).status, 0);
  const std::string before = read_bytes(folder_ / "run/manifest.json");
  const Outcome again = trace("gpt2", {"--text", "king"});
  EXPECT_EQ(again.status, 2);
  EXPECT_THAT(again.error, HasSubstr("exists already; --overwrite replaces it"));
  EXPECT_EQ(read_bytes(folder_ / "run/manifest.json"), before);
  EXPECT_EQ(trace("gpt2", {"--text", "king", "--overwrite"}).status, 0);
  EXPECT_EQ(RunReader(folder_ / "run").tokens().size(), 3u);
}

}  // namespace
}  // namespace lexiscope::testing
