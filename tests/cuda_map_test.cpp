// A whole map of 2,000 rows of a real vocabulary on the emulated engine, twice. It takes tens of minutes, so it runs
// only where LEXISCOPE_VOCABULARY names the source, a model folder or file as `lexiscope project` takes it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "host/io/embedding_source.h"
#include "lexiscope/project.h"
#include "tests/support/emulated_engine.h"
#include "tests/support/runs.h"

namespace lexiscope::testing {
namespace {

TEST(CudaMap, EndsWhereTheCpuEngineDoesAndTwiceAtTheSameBits) {
  const char* const vocabulary = std::getenv("LEXISCOPE_VOCABULARY");
  if (!vocabulary) GTEST_SKIP() << "LEXISCOPE_VOCABULARY names no vocabulary";
  constexpr std::size_t kRows = 2000;
  const Embedding embedding = load_embedding(vocabulary, {.tensor = {}, .limit = kRows});
  ASSERT_EQ(embedding.matrix.rows, kRows);
  const ProjectSource source{.matrix = embedding.matrix};
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("lexiscope_map_" + std::to_string(getpid()));
  const auto run = [&](Engine& engine, const char* name) {
    return project(engine, source, {.out = folder / name}).kl.back().kl;
  };
  std::filesystem::create_directory(folder);
  const double wanted = run(*make_engine("cpu"), "cpu"), once = run(*make_emulated_engine(), "once");
  EXPECT_NEAR(once, wanted, 0.005 * wanted);
  EXPECT_EQ(run(*make_emulated_engine(), "again"), once);
  EXPECT_EQ(arrays_of(folder / "once"), arrays_of(folder / "again"));
  RecordProperty("kl_cpu", std::to_string(wanted));
  RecordProperty("kl_cuda_emulated", std::to_string(once));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lexiscope::testing
