// Run directories: what is written is read back verified, a kill at any moment leaves a whole state, nothing foreign is
// removed.
#include "host/io/run_directory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "host/io/run_files.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using Existing = RunWriter::Existing;
using Names = std::vector<std::string>;

ConstTensorView view_of(const std::vector<float>& values, std::vector<std::size_t> shape) {
  return dense_view<const void>(values.data(), DType::f32, shape);
}
ConstTensorView view_of(const std::vector<float>& values) { return view_of(values, {values.size()}); }

const ArrayDescription kVector{.axes = {"token"}, .meaning = "for the test", .unit = "1"};

// The files in a folder, sorted.
Names files_in(const std::filesystem::path& folder) {
  Names names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

class Run : public ::testing::Test {
 protected:
  RunWriter open(Existing existing, const json& identity = {{"seed", 1}}) const {
    return RunWriter(path_, identity, existing);
  }
  // The message with which opening fails.
  std::string error(Existing existing, const json& identity = {{"seed", 1}},
                    ErrorCode code = ErrorCode::kInvalidArgument) const {
    return folder_.error(code, [&] { open(existing, identity); });
  }
  // A finished run with the array x, and tokens.
  void finish_one(const std::vector<float>& x = {1, 2, 3}) const {
    RunWriter writer = open(Existing::overwrite);
    writer.write("x", view_of(x), kVector);
    writer.write_tokens({"a", "b"});
    writer.finish({{"engine", "cpu"}});
  }
  json manifest() const { return json::parse(read_bytes(path_ / "manifest.json")); }
  void write(const std::string& name, const std::string& text) const { folder_.write("run/" + name, text); }

  TemporaryFolder folder_{fast_folder()};
  std::filesystem::path path_ = folder_ / "run";
};

TEST_F(Run, ComesBackAsItWasWritten) {
  const Names tokens{"a", "", "tab\t", "line\nfeed\r", "back\\slash\\n", "\xc3\xa4"};
  {
    RunWriter writer = open(Existing::refuse);
    writer.write("x", view_of({1, 2, 3, 4, 5, 6}, {3, 2}), {{"token", "dimension"}, "a meaning", "a unit"});
    NpyWriter stream = writer.create("ids", DType::i64, {});
    stream.append(std::span<const std::int64_t>(std::vector<std::int64_t>{7, -7}));
    writer.record("ids", DType::i64, stream.finish(), kVector);
    writer.write("none", view_of({}, {0, 4}), {{"token", "dimension"}, "", ""});
    writer.write_tokens(tokens);
    writer.save_checkpoint({{"step", 1}}, {{"y", view_of({1, 2})}});
    EXPECT_THROW(RunReader{path_}, Error);
    writer.finish({{"engine", "cpu"}, {"seed", 3}});
  }
  EXPECT_EQ(files_in(path_), (Names{"ids.npy", "manifest.json", "none.npy", "tokens.tsv", "x.npy"}));
  const RunReader reader(path_);
  EXPECT_EQ(reader.manifest().at("schema"), 1);
  EXPECT_EQ(reader.manifest().at("engine"), "cpu");
  EXPECT_EQ(reader.manifest().at("arrays").at("x"),
            json({{"file", "x.npy"},
                  {"dtype", "<f4"},
                  {"shape", {3, 2}},
                  {"axes", {"token", "dimension"}},
                  {"meaning", "a meaning"},
                  {"unit", "a unit"},
                  {"checksum", checksum_text(checksum_file(path_ / "x.npy"))}}));
  EXPECT_EQ(reader.array("x").values<float>(2)[5], 6);
  EXPECT_EQ(reader.array("ids").values<std::int64_t>(1)[1], -7);
  EXPECT_EQ(reader.array("none").shape, (std::vector<std::size_t>{0, 4}));
  EXPECT_EQ(reader.tokens(), tokens);
}

TEST_F(Run, TakesArraysFromSeveralThreadsAndACheckpointBetween) {
  constexpr std::size_t kThreads = 4, kArrays = 8;
  RunWriter writer = open(Existing::refuse);
  {
    std::vector<std::jthread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread)
      threads.emplace_back([&, thread] {
        for (std::size_t i = 0; i < kArrays; ++i) {
          const std::vector<float> values(100, static_cast<float>(thread * kArrays + i));
          writer.write("x" + std::to_string(thread * kArrays + i), view_of(values), kVector);
        }
      });
    for (std::size_t step = 0; step < kArrays; ++step)
      writer.save_checkpoint({{"step", step}}, {{"y", view_of({static_cast<float>(step)})}});
  }
  EXPECT_EQ(writer.checkpoint().at("step"), kArrays - 1);
  EXPECT_EQ(writer.read_checkpoint_array("y").values<float>(1)[0], float{kArrays - 1});
  writer.finish(json::object());
  for (std::size_t i = 0; i < kThreads * kArrays; ++i)
    EXPECT_EQ(RunReader(path_).array("x" + std::to_string(i)).values<float>(1)[99], static_cast<float>(i));
}

TEST_F(Run, WithoutTokensHasNone) {
  open(Existing::refuse).finish(json::object());
  EXPECT_TRUE(RunReader(path_).tokens().empty());
  EXPECT_FALSE(manifest().contains("tokens"));
}

TEST_F(Run, KeepsTextThatIsNotUtf8Readable) {
  open(Existing::refuse).finish({{"command", {"\xff"}}});
  EXPECT_EQ(manifest().at("command").at(0), "\xef\xbf\xbd");
}

TEST_F(Run, RefusesWhatExists) {
  std::filesystem::create_directory(path_);
  EXPECT_EQ(error(Existing::refuse), "run: exists already");
}

TEST_F(Run, NamesAFolderThatCannotBeMade) {
  folder_.write("file", "");
  path_ = folder_ / "file/run";
  EXPECT_EQ(error(Existing::refuse, json::object(), ErrorCode::kInputOutput),
            "file/run: cannot be created: Not a directory");
  path_ = folder_ / "file";
  EXPECT_EQ(error(Existing::overwrite), "file: cannot be opened: Not a directory");
}

TEST_F(Run, IsWrittenByOneAtATime) {
  const RunWriter writer = open(Existing::refuse);
  EXPECT_EQ(error(Existing::resume), "run: another process is writing to this directory");
  EXPECT_EQ(error(Existing::overwrite), "run: another process is writing to this directory");
}

TEST_F(Run, ResumesWithWhatIsWhole) {
  {
    RunWriter writer = open(Existing::refuse);
    writer.write("whole", view_of({1, 2}), kVector);
    writer.write("again", view_of({3}), kVector);
    NpyWriter unrecorded = writer.create("unrecorded", DType::f32, {});
    unrecorded.finish();
    writer.save_checkpoint({{"step", 1}}, {{"y", view_of({1})}});
    writer.save_checkpoint({{"step", 2}}, {{"y", view_of({2})}, {"z", view_of({3})}});
    const NpyWriter begun = writer.create("again", DType::f32, {});  // what was whole no longer counts
    write("begun.npy.partial", "as left by a kill");
  }
  RunWriter writer = open(Existing::resume);
  EXPECT_TRUE(writer.has("whole"));
  EXPECT_FALSE(writer.has("again"));
  EXPECT_FALSE(writer.has("unrecorded"));
  EXPECT_EQ(writer.read("whole").values<float>(1)[1], 2);
  EXPECT_EQ(writer.checkpoint(), json({{"step", 2}}));
  EXPECT_EQ(writer.read_checkpoint_array("y").values<float>(1)[0], 2);
  EXPECT_EQ(writer.read_checkpoint_array("z").values<float>(1)[0], 3);
  EXPECT_EQ(files_in(path_), (Names{"begun.npy.partial", "checkpoint.y.0.npy", "checkpoint.z.0.npy", "unfinished.json",
                                    "whole.npy"}));  // begun.npy was never named: not ours to remove
  EXPECT_EQ(folder_.error(ErrorCode::kInvalidArgument, [&] { writer.read("again"); }),
            "run: has no whole array \"again\"");
}

TEST_F(Run, ThatCannotBeResumedSaysWhy) {
  EXPECT_EQ(error(Existing::resume), "run: has nothing to resume: there is no such directory");
  std::filesystem::create_directory(path_);
  EXPECT_EQ(error(Existing::resume), "run: has nothing to resume: there is no unfinished.json");
  const json identity = {{"seed", 1}, {"source", {{"sha256", "ab"}}}, {"rate", 0.1}};
  open(Existing::overwrite, identity);
  json other = identity;
  other["source"]["sha256"] = "cd";
  EXPECT_EQ(error(Existing::resume, other), "run: cannot be resumed: source/sha256 was \"ab\" and is now \"cd\"");
  other = identity;
  other["perplexity"] = 30;
  EXPECT_EQ(error(Existing::resume, other), "run: cannot be resumed: perplexity was absent and is now 30");
  other = identity;
  other.erase("rate");
  EXPECT_EQ(error(Existing::resume, other), "run: cannot be resumed: rate was 0.1 and is now absent");
  open(Existing::resume, identity).finish(json::object());
  EXPECT_EQ(error(Existing::resume, identity), "run: has nothing to resume: the run is finished");
}

TEST_F(Run, DamagedWhenResumedSaysWhere) {
  open(Existing::refuse).write("x", view_of({1, 2}), kVector);
  const json good = json::parse(read_bytes(path_ / "unfinished.json"));
  const auto error_with = [&](const char* place, const json& value) {
    json bad = good;
    bad[json::json_pointer(place)] = value;
    write("unfinished.json", bad.dump());
    return folder_.error(ErrorCode::kInvalidFile, [&] { open(Existing::resume).read("x"); });
  };
  const std::string file = "run/unfinished.json: ";
  EXPECT_EQ(error_with("/schema", 2), file + "\"schema\" is 2, this version reads 1");
  EXPECT_EQ(error_with("/identity", 2), file + "\"identity\" is 2, an object is needed");
  EXPECT_EQ(error_with("/files", {1}), file + "\"files\" holds 1, strings are needed");
  EXPECT_EQ(error_with("/files", {"../x"}),
            file.substr(0, file.size() - 2) + ": \"../x\" is not the name of a file beside it");
  EXPECT_EQ(error_with("/arrays/x", 1), file + "array \"x\" is 1, an object is needed");
  EXPECT_EQ(error_with("/arrays/x/file", "/x"), file + "array \"x\": \"/x\" is not the name of a file beside it");
  EXPECT_EQ(error_with("/checkpoint", nullptr), file + "\"checkpoint\" is null, an object is needed");
  EXPECT_EQ(error_with("/checkpoint/arrays", {{"y", 1}}),
            file + "\"checkpoint\": array \"y\" is 1, an object is needed");
  EXPECT_EQ(error_with("/checkpoint/generation", -1),
            file + "\"checkpoint\": \"generation\" is -1, an integer of 0 or more is needed");
  write("unfinished.json", "{");
  EXPECT_EQ(error(Existing::resume, {{"seed", 1}}, ErrorCode::kInvalidFile), file + "is not valid JSON at byte 2 of 1");
}

TEST_F(Run, IsOverwrittenFinishedOrNot) {
  finish_one({1, 2, 3});
  {
    RunWriter writer = open(Existing::overwrite);
    EXPECT_FALSE(writer.has("x"));
    EXPECT_EQ(files_in(path_), Names{"unfinished.json"});
    writer.write("y", view_of({1}), kVector);
    write("y.npy.partial", "");
  }
  finish_one({4});
  EXPECT_EQ(files_in(path_), (Names{"manifest.json", "tokens.tsv", "x.npy"}));
  EXPECT_EQ(RunReader(path_).array("x").values<float>(1)[0], 4);
}

TEST_F(Run, WithForeignContentIsLeftAlone) {
  const auto expect_untouched = [&](const std::string& message) {
    const Names before = files_in(path_);
    EXPECT_EQ(error(Existing::overwrite), "run: is not replaced, " + message);
    EXPECT_EQ(files_in(path_), before);
  };
  finish_one();
  write("notes.txt", "mine");
  expect_untouched("\"notes.txt\" in it is no file of a run");
  std::filesystem::remove(path_ / "notes.txt");
  write("mine.npy", "");
  expect_untouched("\"mine.npy\" in it is no file of a run");
  std::filesystem::remove(path_ / "mine.npy");
  std::filesystem::remove(path_ / "x.npy");
  std::filesystem::create_directory(path_ / "x.npy");
  expect_untouched("\"x.npy\" in it is no file of a run");
  std::filesystem::remove(path_ / "x.npy");
  std::filesystem::create_symlink(folder_ / "elsewhere", path_ / "x.npy");
  expect_untouched("\"x.npy\" in it is no file of a run");
  std::filesystem::remove(path_ / "x.npy");
  EXPECT_EQ(RunReader(path_).tokens(), (Names{"a", "b"}));
  write("manifest.json", R"({"name": "a web page", "icons": []})");
  EXPECT_EQ(error(Existing::overwrite),
            "run: is not replaced, it is not known to be a run: run/manifest.json: \"schema\" is missing");
  write("manifest.json", R"({"schema": 1, "arrays": {"x": {"file": "../x"}}})");
  EXPECT_EQ(
      error(Existing::overwrite),
      "run: is not replaced, it is not known to be a run: run/manifest.json: array \"x\": \"../x\" is not the name "
      "of a file beside it");
  std::filesystem::remove(path_ / "manifest.json");
  expect_untouched("\"tokens.tsv\" in it is no file of a run");
}

// Killed between the manifest and the end of finish(): the run is finished, and the next look at it clears the rest
// away.
TEST_F(Run, KilledWhileFinishingIsFinished) {
  {
    RunWriter writer = open(Existing::refuse);
    writer.write("x", view_of({1}), kVector);
    writer.save_checkpoint({{"step", 1}}, {{"y", view_of({1, 2})}});
    std::filesystem::copy(path_, folder_ / "before");
    writer.finish(json::object());
  }
  for (const char* file : {"unfinished.json", "checkpoint.y.1.npy"})
    std::filesystem::copy_file(folder_ / "before" / file, path_ / file);
  EXPECT_EQ(RunReader(path_).array("x").values<float>(1)[0], 1);
  EXPECT_EQ(error(Existing::resume), "run: has nothing to resume: the run is finished");
  EXPECT_EQ(files_in(path_), (Names{"manifest.json", "x.npy"}));
}

TEST_F(Run, WhoseFilesAreNotWhatTheManifestSaysIsRefused) {
  finish_one();
  const json good = manifest();
  const auto error_with = [&](const char* place, const json& value) {
    json bad = good;
    bad[json::json_pointer(place)] = value;
    write("manifest.json", bad.dump());
    return folder_.error(ErrorCode::kInvalidFile, [&] {
      const RunReader reader(path_);
      reader.array("x");
      reader.tokens();
    });
  };
  const std::string x = checksum_text(checksum_file(path_ / "x.npy"));
  const std::string tokens = checksum_text(checksum_file(path_ / "tokens.tsv"));
  EXPECT_EQ(error_with("/engine", "other"), "no error");
  EXPECT_EQ(error_with("/schema", 2), "run/manifest.json: \"schema\" is 2, this version reads 1");
  EXPECT_EQ(error_with("/arrays", 2), "run/manifest.json: \"arrays\" is 2, an object is needed");
  EXPECT_EQ(error_with("/arrays", json::object()), "run/manifest.json: has no array \"x\"");
  EXPECT_EQ(error_with("/arrays/x/file", "y.npy"), "run/y.npy: cannot be opened: No such file or directory");
  EXPECT_EQ(error_with("/arrays/x/file", ".."),
            "run/manifest.json: array \"x\": \"..\" is not the name of a file beside it");
  EXPECT_EQ(error_with("/arrays/x/dtype", "<f8"), "run/x.npy: dtype is <f4, manifest.json: array \"x\" says \"<f8\"");
  EXPECT_EQ(error_with("/arrays/x/shape", {4}),
            "run/x.npy: shape is (3,), manifest.json: array \"x\" says (4,) in C order");
  EXPECT_EQ(error_with("/arrays/x/checksum", "xxh3-64:0"),
            "run/x.npy: checksum is " + x + ", manifest.json: array \"x\" says \"xxh3-64:0\"");
  EXPECT_EQ(error_with("/tokens/checksum", "xxh3-64:0"),
            "run/tokens.tsv: checksum is " + tokens + ", manifest.json: \"tokens\" says \"xxh3-64:0\"");
  EXPECT_EQ(error_with("/tokens/count", 3), "run/tokens.tsv: holds 2 tokens, manifest.json: \"tokens\" says 3");
  write("manifest.json", good.dump());
  std::string bytes = read_bytes(path_ / "x.npy");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write("x.npy", bytes);
  EXPECT_NE(folder_.error(ErrorCode::kInvalidFile, [&] { RunReader(path_).array("x"); }).find("checksum is"),
            std::string::npos);
}

TEST_F(Run, ThatIsNotFinishedCannotBeRead) {
  const auto message = [&] { return folder_.error(ErrorCode::kInvalidFile, [&] { RunReader{path_}; }); };
  EXPECT_EQ(message(), "run: is not a finished run: there is no manifest.json");
  open(Existing::refuse);
  EXPECT_EQ(message(), "run: is not a finished run: there is no manifest.json, the run can be resumed");
}

TEST(TokenTable, MalformedNamesTheLine) {
  const TemporaryFolder folder;
  const std::pair<const char*, const char*> tables[] = {
      {"0\ta\n1\tb", "t: line 2 is cut short"},
      {"0\ta\n2\tb\n", "t: line 2 does not begin with the id 1 and a tab"},
      {"0 a\n", "t: line 1 does not begin with the id 0 and a tab"},
      {"0\ta\\x\n", "t: line 1: has a backslash before none of t, n, r and backslash"},
      {"0\ta\\\n", "t: line 1: has a backslash before none of t, n, r and backslash"}};
  for (const auto& [text, message] : tables)
    EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&, &table = text] { tokens_from_text(table, "t"); }), message);
}

TEST_F(Run, NamesWhatIsWrongWithAnArray) {
  RunWriter writer = open(Existing::refuse);
  const auto message = [&](auto&& action) { return folder_.error(ErrorCode::kInvalidArgument, action); };
  const std::vector<float> values(6);
  for (const char* name : {"", "../x", "a.b", "a b"})
    EXPECT_EQ(message([&] { writer.write(name, view_of(values), kVector); }),
              std::string("run: the name of an array is \"") + name + "\", letters, digits, _ and - are allowed");
  EXPECT_EQ(message([&] {
              writer.write("x", view_of(values, {3, 2}), kVector);
            }),
            "run: array x has shape (3, 2) and names for 1 axes");
  ConstTensorView strided = view_of(values, {2, 2});
  strided.strides[0] = 3;
  EXPECT_EQ(message([&] { writer.write("x", strided, kVector); }), "run: array x of shape (2, 2) is not dense");
  EXPECT_EQ(message([&] { writer.finish(json::array()); }),
            "run: the manifest's fields are a list of 0, an object is needed");
}

TEST_F(Run, OnAFullDiskCanBeResumed) {
  const std::vector<float> large(1 << 18);
  {
    RunWriter writer = open(Existing::refuse);
    writer.write("x", view_of({1}), kVector);
    writer.save_checkpoint({{"step", 1}}, {{"y", view_of({1})}});
    const FullDisk disk(1 << 16);
    EXPECT_EQ(folder_.error(ErrorCode::kInputOutput, [&] { writer.write("large", view_of(large), kVector); }),
              "run/large.npy: writing failed after 65536 bytes: File too large");
    EXPECT_EQ(folder_.error(ErrorCode::kInputOutput,
                            [&] {
                              writer.save_checkpoint({{"step", 2}}, {{"y", view_of(large)}});
                            }),
              "run/checkpoint.y.0.npy: writing failed after 65536 bytes: File too large");
    EXPECT_EQ(writer.checkpoint().at("step"), 1);
  }
  EXPECT_EQ(files_in(path_), (Names{"checkpoint.y.1.npy", "unfinished.json", "x.npy"}));
  RunWriter writer = open(Existing::resume);
  EXPECT_EQ(writer.read("x").values<float>(1)[0], 1);
  EXPECT_EQ(writer.read_checkpoint_array("y").values<float>(1)[0], 1);
  writer.write("large", view_of(large), kVector);
  writer.finish(json::object());
  EXPECT_EQ(RunReader(path_).array("large").shape[0], large.size());
}

TEST_F(Run, OnAFullDiskLeavesNoFolderBehind) {
  const FullDisk disk(10);
  EXPECT_EQ(error(Existing::refuse, {{"seed", 1}}, ErrorCode::kInputOutput),
            "run/unfinished.json: writing failed after 10 bytes: File too large");
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// Runs `work` in a child process and kills it after so long.
template <typename Work>
void kill_during(std::chrono::microseconds after, Work&& work) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    try {
      work();
    } catch (const std::exception& error) {
      fprintf(stderr, "child: %s\n", error.what());
    }
    _exit(1);  // work() goes on until it is killed
  }
  std::this_thread::sleep_for(after);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
}

constexpr int kKills = 60;
constexpr int kLongestMicroseconds = 10'000;

bool all_are(const NpyArray& array, float value) {
  const float* values = array.values<float>(1);
  return std::all_of(values, values + array.shape[0], [value](float each) { return each == value; });
}

TEST_F(Run, KilledWhileCheckpointingHasTheOldOrTheNew) {
  {
    RunWriter writer = open(Existing::refuse);
    writer.write("whole", view_of({1, 2}), kVector);
    writer.save_checkpoint({{"step", 0}}, {{"y", view_of(std::vector<float>(20'000))}, {"z", view_of({0})}});
  }
  std::mt19937 random(1);
  int last = 0;
  for (int i = 0; i < kKills; ++i) {
    kill_during(std::chrono::microseconds(random() % kLongestMicroseconds), [&] {
      RunWriter writer = open(Existing::resume);
      for (int step = writer.checkpoint().at("step").get<int>() + 1;; ++step) {
        const std::vector<float> y(20'000, static_cast<float>(step)), z(1, static_cast<float>(-step));
        writer.save_checkpoint({{"step", step}}, {{"y", view_of(y)}, {"z", view_of(z)}});
      }
    });
    const RunWriter writer = open(Existing::resume);
    const int step = writer.checkpoint().at("step").get<int>();
    EXPECT_GE(step, last);
    last = step;
    EXPECT_TRUE(all_are(writer.read_checkpoint_array("y"), static_cast<float>(step)));
    EXPECT_TRUE(all_are(writer.read_checkpoint_array("z"), static_cast<float>(-step)));
    EXPECT_EQ(writer.read("whole").values<float>(1)[1], 2);
    EXPECT_EQ(files_in(path_).size(), 4u);  // unfinished.json, whole.npy and the checkpoint's two
  }
  EXPECT_GT(last, 0);
}

TEST_F(Run, KilledAnywhereFromOverwriteToFinishIsWholeOrResumes) {
  finish_one(std::vector<float>(20'000, -1));
  std::mt19937 random(2);
  for (int i = 0; i < kKills; ++i) {
    kill_during(std::chrono::microseconds(random() % kLongestMicroseconds), [&] {
      for (int seed = 1000 * i;; ++seed) {
        RunWriter writer = open(Existing::overwrite, {{"seed", seed}});
        const std::vector<float> x(20'000, static_cast<float>(seed));
        writer.write("x", view_of(x), kVector);
        writer.save_checkpoint({{"seed", seed}}, {{"y", view_of(x)}});
        writer.write_tokens({std::to_string(seed)});
        writer.finish({{"seed", seed}});
      }
    });
    if (!std::filesystem::exists(path_ / "manifest.json")) {
      const json identity = json::parse(read_bytes(path_ / "unfinished.json")).at("identity");
      RunWriter writer = open(Existing::resume, identity);
      const float seed = identity.at("seed");
      const std::vector<float> x(20'000, seed);
      if (writer.has("x"))
        EXPECT_TRUE(all_are(writer.read("x"), seed));
      else
        writer.write("x", view_of(x), kVector);
      if (!writer.checkpoint().is_null()) {
        EXPECT_TRUE(all_are(writer.read_checkpoint_array("y"), seed));
      }
      writer.write_tokens({std::to_string(identity.at("seed").get<int>())});
      writer.finish(identity);
      EXPECT_EQ(files_in(path_), (Names{"manifest.json", "tokens.tsv", "x.npy"}));
    }
    const RunReader reader(path_);
    const bool first = !reader.manifest().contains("seed");  // what was there before any child came so far
    EXPECT_TRUE(all_are(reader.array("x"), first ? -1 : reader.manifest().at("seed").get<float>()));
    EXPECT_EQ(reader.tokens(),
              first ? (Names{"a", "b"}) : Names{std::to_string(reader.manifest().at("seed").get<int>())});
  }
}

}  // namespace
}  // namespace lexiscope::testing
