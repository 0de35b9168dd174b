// The program as people and scripts run it: flags, text and JSON, exit statuses, bad input, full disks, refused memory,
// and runs that are killed or interrupted at any moment and resumed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "host/io/npy.h"
#include "host/io/run_directory.h"
#include "tests/support/compare.h"
#include "tests/support/files.h"
#include "tests/support/program.h"
#include "tests/support/runs.h"

namespace lexiscope::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;
using nlohmann::json;

class CliTest : public ::testing::Test {
 protected:
  CliTest() : folder_(fs::temp_directory_path() / ("lexiscope_cli_" + std::to_string(getpid()))) {
    fs::create_directory(folder_);
    write_npy("points.npy", kTokens, kWidth, random_normal(kTokens * kWidth, 5, 0.3f));
  }
  ~CliTest() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ / name; }

  void write_npy(const std::string& name, std::size_t rows, std::size_t columns, const std::vector<float>& values) {
    NpyWriter writer(folder_ / name, DType::f32, {columns});
    writer.append(std::span<const float>(values).first(rows * columns));
    writer.finish();
  }

  pid_t start(const Words& words, const Limits& limits = {}) const { return program_.start(words, limits); }
  Outcome finish(pid_t child) const { return program_.finish(child); }
  Outcome run(const Words& words, const Limits& limits = {}) const { return program_.run(words, limits); }

  Words project_words(const std::string& out, const Words& more = {}) const {
    Words words{
        "project", path("points.npy"),   "--out", path(out), "--perplexity", "5", "--iterations", "400", "--components",
        "6",       "--checkpoint-every", "20"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::map<std::string, std::string> arrays(const std::string& out) const { return arrays_of(folder_ / out); }

  static constexpr std::size_t kTokens = 600, kWidth = 10;
  fs::path folder_;
  Program program_{folder_};
};

TEST_F(CliTest, TellsWhatIsHere) {
  const Outcome text = run({"info"});
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.out, AllOf(HasSubstr("reference"), HasSubstr("cuda "), HasSubstr("OpenBLAS"), HasSubstr("CLI11")));
  EXPECT_EQ(text.error, "");
  const json object = json::parse(run({"info", "--json"}).out);
  EXPECT_TRUE(object.at("engines").contains("cpu"));
  EXPECT_GT(object.at("memory").at("available"), 0);
  EXPECT_EQ(run({"info", "--quiet"}).out, "");
  EXPECT_THAT(run({"--version"}).out, StartsWith("lexiscope "));
}

// The plug-ins of tests/plugin, each in a folder of its own.
class CudaPluginTest : public CliTest {
 protected:
  ~CudaPluginTest() override { unsetenv("LEXISCOPE_PLUGIN_DIR"); }

  void use(const std::string& folder) const { setenv("LEXISCOPE_PLUGIN_DIR", folder.c_str(), 1); }
  void use_fake(const std::string& name) const { use(std::string(LEXISCOPE_TEST_PLUGINS) + "/" + name); }

  /// What info says of cuda, in text and JSON alike.
  std::string reason() const {
    const Outcome text = run({"info"}), object = run({"info", "--json"});
    EXPECT_EQ(text.status, 0) << text.error;
    const json described = json::parse(object.out);
    EXPECT_FALSE(described.at("engines").contains("cuda"));
    const std::string said = described.at("cuda_unavailable");
    EXPECT_THAT(text.out, HasSubstr("cuda           not available: " + said + "\n"));
    return said;
  }

  void expect_refusal(const Words& words, const std::string& why, int status = 1) const {
    const Outcome refused = run(words);
    EXPECT_EQ(refused.status, status);
    EXPECT_EQ(refused.out, "");
    EXPECT_EQ(refused.error, "lexiscope: " + why + "\n");
  }
};

TEST_F(CudaPluginTest, SaysWhereItLookedForThePlugin) {
  use(folder_.string());
  const std::string why = "no plug-in: liblexiscope_cuda.so is not in " + folder_.string();
  EXPECT_EQ(reason(), why);
  expect_refusal({"validate", "drift", "--device", "cpu", "--products", "cublaslt"},
                 "products by cuBLASLt need the cuda engine; this is cpu", 2);  // no engine is missing: wrong usage
  expect_refusal({"validate", "drift", "--device", "cuda"}, "the cuda engine is not available here: " + why);
  expect_refusal({"project", path("points.npy"), "--out", path("run"), "--device", "cuda"},
                 "the cuda engine is not available here: " + why);
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(CudaPluginTest, NeverLooksInTheWorkingFolder) {
  for (const std::string folder : {".", "plugins"}) {
    use(folder);
    EXPECT_EQ(reason(), "LEXISCOPE_PLUGIN_DIR is \"" + folder + "\", needs to be an absolute path");
  }
  unsetenv("LEXISCOPE_PLUGIN_DIR");
  const fs::path before = fs::current_path();
  fs::current_path(fs::path(LEXISCOPE_TEST_PLUGINS) / "willing");
  EXPECT_EQ(run({"info"}).status, 0);  // that plug-in would be asked for an engine, and refuse
  fs::current_path(before);
}

TEST_F(CudaPluginTest, RefusesWhatIsNoPluginOfThisBuild) {
  std::ofstream(folder_ / "liblexiscope_cuda.so") << "text";
  use(folder_.string());
  EXPECT_THAT(reason(), AllOf(StartsWith("the plug-in cannot be loaded: "), HasSubstr("liblexiscope_cuda.so")));
  use_fake("other");
  EXPECT_THAT(reason(), HasSubstr("liblexiscope_cuda.so is no plug-in of lexiscope's"));
  use_fake("old");
  EXPECT_THAT(reason(), HasSubstr("belongs to lexiscope 0.0.9 with interface "));
  use_fake("changed");
  EXPECT_THAT(reason(), HasSubstr(" with interface 0123456789ab, this is "));
}

TEST_F(CudaPluginTest, SaysWhichLibraryOfThePluginsIsMissing) {
  use_fake("needy");
  EXPECT_EQ(reason(),
            "the plug-in cannot be loaded: liblexiscope_absent.so: cannot open shared object file: No such file or "
            "directory");
}

TEST_F(CudaPluginTest, PassesOnWhyThereIsNoDevice) {
  use_fake("without_driver");
  EXPECT_EQ(reason(), "no driver at all");
  expect_refusal({"validate", "--device", "cuda"}, "the cuda engine is not available here: no driver at all");
  EXPECT_EQ(run({"validate", "drift", "--device", "auto"}).status, 0);
}

TEST_F(CudaPluginTest, IsChosenFirstWhereItCanBeUsed) {
  use_fake("willing");
  expect_refusal({"validate", "drift", "--threads", "3"}, "the willing plug-in was asked for an engine with 3 threads");
  EXPECT_EQ(run({"validate", "drift", "--device", "cpu"}).status, 0);
  Words project = project_words("run");
  project.insert(project.end(), {"--threads", "3"});
  expect_refusal(project, "the willing plug-in was asked for an engine with 3 threads");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

#ifdef LEXISCOPE_CUDA_PLUGIN
// The plug-in of this build, beside the program.
TEST_F(CudaPluginTest, SaysWhyThePluginOfThisBuildCannotBeUsed) {
  const json described = json::parse(run({"info", "--json"}).out);
  if (described.at("engines").contains("cuda")) {
    EXPECT_TRUE(described.at("cuda_unavailable").is_null());
    EXPECT_EQ(run({"validate", "layer_norm", "--device", "cuda"}).status, 0);
    return;
  }
  EXPECT_THAT(reason(), ::testing::AnyOf(::testing::Eq("no NVIDIA driver"),
                                         StartsWith("the NVIDIA driver is too old: it knows CUDA "),
                                         ::testing::Eq("no CUDA device"), StartsWith("no code for ")));
}
#endif

TEST_F(CliTest, HelpsWithAnExample) {
  for (const Words& words : {Words{"--help"}, Words{"info", "--help"}, Words{"project", "--help"},
                             Words{"neighbors", "--help"}, Words{"validate", "--help"}}) {
    const Outcome help = run(words);
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.out, HasSubstr("Example:\n  lexiscope "));
  }
}

TEST_F(CliTest, ProjectsInTextAndInJson) {
  const Outcome text = run(project_words("text"));
  EXPECT_EQ(text.status, 0) << text.error;
  EXPECT_EQ(text.error, "") << "progress is for terminals";
  EXPECT_THAT(text.out, AllOf(HasSubstr("600 tokens x 10, <f4"), HasSubstr("Principal components (centered): 6 of 10"),
                              HasSubstr("KL"), HasSubstr("Written to " + path("text"))));
  const Outcome object = run(project_words("json", {"--json", "--threads", "1"}));
  EXPECT_EQ(object.status, 0) << object.error;
  const json found = json::parse(object.out);
  EXPECT_EQ(found.at("tokens"), kTokens);
  EXPECT_EQ(found.at("kl").back().at(0), 400);
  EXPECT_EQ(found.at("explained").size(), 6u);
  EXPECT_TRUE(found.at("arrays").contains("tsne"));
  EXPECT_EQ(arrays("text"), arrays("json")) << "one thread and all give the same bits";
}

TEST_F(CliTest, TakesEveryFlagOfProject) {
  const Words most = {"--uncentered",
                      "--normalize",
                      "--metric",
                      "cosine",
                      "--dims",
                      "3",
                      "--exaggeration",
                      "4",
                      "--learning-rate",
                      "50",
                      "--repulsion",
                      "exact",
                      "--init",
                      "random",
                      "--seed",
                      "7",
                      "--limit",
                      "200",
                      "--quiet",
                      "--device",
                      "cpu",
                      "--threads",
                      "2"};
  Outcome done = run(project_words("flags", most));
  EXPECT_EQ(done.status, 0) << done.error;
  EXPECT_EQ(done.out, "");
  const RunReader reader(folder_ / "flags");
  EXPECT_EQ(reader.array("tsne").shape, (std::vector<std::size_t>{200, 3}));
  EXPECT_EQ(reader.manifest().at("parameters").at("learning_rate"), 50);
  EXPECT_EQ(reader.manifest().at("seed"), 7);

  write_npy("start.npy", kTokens, 2, random_normal(kTokens * 2, 1, 0, 1e-4f));
  done = run(project_words("file", {"--init", path("start.npy"), "--repulsion", "grid", "--learning-rate", "auto"}));
  EXPECT_EQ(done.status, 0) << done.error;
  done = run({"project", path("points.npy"), "--out", path("sigma"), "--sigma", "1.5", "--iterations", "20"});
  EXPECT_EQ(done.status, 0) << done.error;
  done = run({"project", path("points.npy"), "--out", path("pca"), "--no-tsne", "--device", "reference"});
  EXPECT_EQ(done.status, 0) << done.error;
  EXPECT_FALSE(fs::exists(folder_ / "pca/tsne.npy"));
  EXPECT_EQ(run({"project", path("points.npy"), "--out", path("pca"), "--no-tsne"}).status, 2);
  EXPECT_EQ(run({"project", path("points.npy"), "--out", path("pca"), "--no-tsne", "--overwrite"}).status, 0);
}

TEST_F(CliTest, FindsNeighbors) {
  const Outcome text = run({"neighbors", path("points.npy"), "#3", "#5", "-k", "4"});
  EXPECT_EQ(text.status, 0) << text.error;
  EXPECT_THAT(text.out, StartsWith("#3  (#3)\n"));
  const json object = json::parse(run({"neighbors", path("points.npy"), "3", "--id", "--json", "-k", "4"}).out);
  EXPECT_EQ(object.at("neighbors").at(0).at("nearest").size(), 4u);
  EXPECT_GE(object.at("neighbors").at(0).at("nearest").at(0).at("cosine"),
            object.at("neighbors").at(0).at("nearest").at(3).at("cosine"));
}

TEST_F(CliTest, Tokenizes) {
  const std::string model = data_path("tokenizers/llama3");
  const Outcome text = run({"tokenize", model, "--text", "Hi\n"});
  EXPECT_EQ(text.status, 0) << text.error;
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("<|begin_of_text|>         0-0\n"), HasSubstr("Ċ                         2-3\n")));
  std::ofstream(path("text.txt")) << "Hi";
  const json object = json::parse(run({"tokenize", model, "--file", path("text.txt"), "--no-special", "--json"}).out);
  EXPECT_EQ(object.at("offsets"), json::parse("[[0, 1], [1, 2]]"));
  EXPECT_EQ(object.at("tokens"), json::parse("[\"H\", \"i\"]"));
  Words words{"tokenize", model, "--decode-ids"};
  for (const json& id : object.at("ids")) words.push_back(id.dump());
  EXPECT_EQ(run(words).out, "Hi\n");
  std::ofstream(path("lines.jsonl")) << "\"Hi\"\n\"\"\n";
  const Outcome lines = run({"tokenize", model, "--file", path("lines.jsonl"), "--lines"});
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2) << lines.out << lines.error;
}

TEST_F(CliTest, Validates) {
  const Outcome text = run({"validate", "layer_norm", "tsne_kl"});
  EXPECT_EQ(text.status, 0) << text.error << text.out;
  EXPECT_THAT(text.out, HasSubstr("All within their bounds."));
  const json object = json::parse(run({"validate", "projection", "--json", "--seed", "4"}).out);
  EXPECT_EQ(object.at("passed"), true);
  EXPECT_LE(object.at("results").at(0).at("worst_share_of_bound"), 1);
  const Outcome unknown = run({"validate", "atention"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.error, AllOf(HasSubstr("there is no operation \"atention\""), HasSubstr("tsne_kl")));
}

TEST_F(CliTest, RefusesBadInputWithOneSentenceAndLeavesNothing) {
  auto values = random_normal(kTokens * kWidth, 5);
  values[7 * kWidth + 3] = std::nanf("");
  write_npy("nan.npy", kTokens, kWidth, values);
  write_npy("few.npy", 10, kWidth, random_normal(10 * kWidth, 5));
  std::ofstream(path("cut.npy"), std::ios::binary) << read_bytes(path("points.npy")).substr(0, 5000);
  std::ofstream(path("text.npy")) << "no array";
  NpyWriter flat(folder_ / "flat.npy", DType::f32, {});
  flat.append(std::span<const float>(values).first(10));
  flat.finish();
  write_npy("start.npy", 10, 2, random_normal(20, 1));
  fs::create_directory(folder_ / "taken");
  std::ofstream(folder_ / "taken/notes.txt") << "mine";

  const std::string points = path("points.npy"), out = path("out");
  const std::vector<std::pair<Words, std::string>> table{
      {{}, "a command is missing"},
      {{"projct"}, "did you mean project?"},
      {{"project"}, "SOURCE is missing"},
      {{"project", points}, "--out is missing"},
      {{"project", points, "--out", out, "--perplxity", "5"}, "did you mean --perplexity?"},
      {{"project", points, "--out", out, "--frobnicate"}, "project does not know --frobnicate"},
      {{"project", points, "more", "--out", out}, "\"more\""},
      {{"project", points, "--out", out, "--components", "x"}, "--components"},
      {{"project", points, "--out", out, "--components", "0"}, "--components is 0"},
      {{"project", points, "--out", out, "--components", "11"}, "components is 11, the embedding has only 10 columns"},
      {{"project", points, "--out", out, "--perplexity", "200"}, "so perplexity at most 199.66"},
      {{"project", points, "--out", out, "--perplexity", "5", "--sigma", "1"}, "--sigma"},
      {{"project", points, "--out", out, "--sigma", "0"}, "--sigma is 0"},
      {{"project", points, "--out", out, "--dims", "4"}, "dims is 4"},
      {{"project", points, "--out", out, "--metric", "manhattan"}, "manhattan"},
      {{"project", points, "--out", out, "--learning-rate", "fast"}, "--learning-rate is \"fast\""},
      {{"project", points, "--out", out, "--limit", "601"}, "601"},
      {{"project", points, "--out", out, "--init", path("start.npy")}, "has shape [10, 2], the map needs [600, 2]"},
      {{"project", points, "--out", out, "--init", path("none.npy")}, "none.npy"},
      {{"project", points, "--out", out, "--device", "tpu"}, "tpu"},
      {{"project", points, "--out", out, "--threads", "-1"}, "threads"},
      {{"project", points, "--out", out, "--resume", "--overwrite"}, "exclude each other"},
      {{"project", points, "--out", out, "--resume"}, "resume"},
      {{"project", points, "--out", path("taken")}, "taken"},
      {{"project", points, "--out", path("taken"), "--overwrite"}, "notes.txt"},
      {{"project", path("none.npy"), "--out", out}, "none.npy"},
      {{"project", path("nan.npy"), "--out", out}, "row 7"},
      {{"project", path("cut.npy"), "--out", out}, "cut.npy"},
      {{"project", path("text.npy"), "--out", out}, "text.npy"},
      {{"project", path("flat.npy"), "--out", out}, "flat.npy"},
      {{"project", path("few.npy"), "--out", out}, "perplexity 30 is too large for 10 points"},
      {{"neighbors", points}, "TOKEN is missing"},
      {{"neighbors", points, "king"}, "does not name its tokens"},
      {{"neighbors", points, "#600"}, "rows 0 to 599"},
      {{"neighbors", points, "x", "--id"}, "\"x\" is not a row's number"},
      {{"neighbors", points, "#1", "-k", "600"}, "k is 600, needs to be 1 to 599"},
      {{"tokenize"}, "MODEL is missing"},
      {{"tokenize", path("none")}, "exactly one of --text, --file and --decode-ids"},
      {{"tokenize", path("none"), "--text", "a", "--lines"}, "--lines needs --file"},
      {{"tokenize", path("none"), "--text", "a"}, "there is no tokenizer.json"},
      {{"tokenize", data_path("tokenizers/gpt2"), "--text", "a\xFF"}, "byte 1 of 2 is 0xFF"},
      {{"tokenize", data_path("tokenizers/gpt2"), "--decode-ids", "99999"}, "the token id 99999"},
      {{"tokenize", data_path("tokenizers/gpt2"), "--file", path("start.npy"), "--lines"}, "line 1"},
      {{"info", "--jsn"}, "did you mean --json?"},
  };
  for (const auto& [words, sentence] : table) {
    const Outcome refused = run(words);
    EXPECT_EQ(refused.status, 2) << refused.error;
    EXPECT_THAT(refused.error, AllOf(StartsWith("lexiscope: "), HasSubstr(sentence)));
    EXPECT_EQ(std::count(refused.error.begin(), refused.error.end(), '\n'), 1) << refused.error;
    EXPECT_EQ(refused.out, "");
    EXPECT_FALSE(fs::exists(out)) << refused.error;
  }
  EXPECT_EQ(read_bytes(folder_ / "taken/notes.txt"), "mine");
}

TEST_F(CliTest, LosesNothingOnAFullDisk) {
  const Outcome full = run(project_words("full"), {.file_bytes = 12'000});  // embedding_norm fits, the scores do not
  EXPECT_EQ(full.status, 1) << full.error;
  EXPECT_THAT(full.error, AllOf(StartsWith("lexiscope: "), HasSubstr("--resume")));
  EXPECT_FALSE(fs::exists(folder_ / "full/manifest.json"));
  EXPECT_EQ(run(project_words("full", {"--resume"})).status, 0);
  EXPECT_EQ(run(project_words("whole")).status, 0);
  EXPECT_EQ(arrays("full"), arrays("whole"));
}

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // whose shadow memory no such limit leaves room for
TEST_F(CliTest, RefusesWorkThatDoesNotFitInMemoryBeforeItStarts) {
  write_npy("long.npy", 20'000, 3, random_normal(60'000, 9));
  const Outcome refused =
      run({"project", path("long.npy"), "--out", path("long"), "--sigma", "1"}, {.address_space = rlim_t{2} << 30});
  EXPECT_EQ(refused.status, 1) << refused.error;
  EXPECT_THAT(refused.error, AllOf(HasSubstr("project: out of memory: about 6"), HasSubstr("are available")));
  EXPECT_FALSE(fs::exists(folder_ / "long"));
}
#endif

TEST_F(CliTest, SaysHowToGoOnWhenInterruptedAndDoes) {
  const auto words = [&](const std::string& out) {
    Words long_run = project_words(out);
    *std::find(long_run.begin(), long_run.end(), "400") = "3000";
    long_run.insert(long_run.end(), {"--threads", "1"});
    return long_run;
  };
  ASSERT_EQ(run(words("whole")).status, 0);
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string out = "stopped" + std::to_string(signal);
    const pid_t child = start(words(out));
    for (int wait = 0; wait < 4000 && !fs::exists(folder_ / out / "neighbor_distances.npy"); ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    kill(child, signal);
    const Outcome stopped = finish(child);
    EXPECT_EQ(stopped.status, 1) << stopped.error;
    EXPECT_THAT(stopped.error, AllOf(StartsWith("lexiscope: stopped"), HasSubstr("--resume")));
    EXPECT_FALSE(fs::exists(folder_ / out / "manifest.json"));
    const Outcome other = run(project_words(out, {"--resume"}));
    EXPECT_EQ(other.status, 2);
    EXPECT_THAT(other.error, HasSubstr("iterations"));
    Words resume = words(out);
    resume.push_back("--resume");
    EXPECT_EQ(run(resume).status, 0);
    EXPECT_EQ(arrays(out), arrays("whole"));
  }
}

// Wherever the kill falls, the run resumes to the same bits, or there was nothing yet to resume and it says so, or it
// was done already.
TEST_F(CliTest, ResumesToTheSameBitsAfterAKillAtAnyMoment) {
  const auto words_of = [&](const std::string& out) { return project_words(out, {"--threads", "1"}); };
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(run(words_of("whole")).status, 0);
  const auto whole_time = std::chrono::steady_clock::now() - begin;
  const auto whole = arrays("whole");
  std::mt19937 random(11);
  for (int attempt = 0; attempt < 12; ++attempt) {
    fs::remove_all(folder_ / "killed");
    Words words = words_of("killed");
    bool done = false;
    for (int kills = 0; !done && kills < 3; ++kills) {
      const pid_t child = start(words);
      std::this_thread::sleep_for(whole_time * (random() % 1000) / 1000);
      kill(child, SIGKILL);
      const Outcome outcome = finish(child);
      done = fs::exists(folder_ / "killed/manifest.json");
      const bool begun = fs::exists(folder_ / "killed/unfinished.json");
      words = words_of("killed");
      if (begun) words.push_back("--resume");
      if (!begun && fs::exists(folder_ / "killed")) words.push_back("--overwrite");
      if (!begun && !done) {
        EXPECT_EQ(run(project_words("killed", {"--threads", "1", "--resume"})).status, 2) << outcome.error;
      }
    }
    if (!done) {
      const Outcome resumed = run(words);
      ASSERT_EQ(resumed.status, 0) << resumed.error;
    }
    EXPECT_EQ(arrays("killed"), whole);
  }
}

}  // namespace
}  // namespace lexiscope::testing
