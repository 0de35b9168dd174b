// Traces of small checkpoints on every engine beside those of the reference engine: the whole job on memory that may
// not be the host's. With LEXISCOPE_TRACED_MODEL in the environment, which names a model's folder or .gguf, of that
// too.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "host/io/run_directory.h"
#include "lexiscope/trace.h"
#include "tests/support/engines.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

/// Ids without a pattern, from 3 on.
TraceText text_of(std::size_t tokens) {
  TraceText text;
  for (std::size_t i = 0; i < tokens; ++i)
    text.tokens.push_back({.id = static_cast<std::int32_t>(3 + (i * i * 7 + i * 11 + 17) % 50)});
  return text;
}

struct Traced {
  TraceSummary summary;
  std::filesystem::path run;
};

double largest_of(const NpyArray& array) {
  const float* const values = array.values<float>(array.shape.size());
  double largest = 0;
  for (std::size_t i = 0; i < array.data.size() / sizeof(float); ++i)
    if (std::isfinite(values[i])) largest = std::max(largest, std::abs(double{values[i]}));
  return largest;
}

/// The bounds of model_test, of chains of roundings between operations: 1e-5 of the largest state, and for what sums
/// over a text or tells of a logarithm 1e-4.
double bound_of(const std::string& name, double largest) {
  const bool of_states = name == "hidden_states" || name == "final_norm" || name.ends_with("update") ||
                         name.ends_with("step") || name == "drift";
  return of_states ? 1e-5 * largest : 1e-4 * std::max(1.0, largest);
}

class TraceOnEngine : public ::testing::TestWithParam<std::string> {
 protected:
  Traced run(Engine& engine, const std::string& name, const std::vector<TraceText>& texts, TraceOptions options) {
    return run(engine, std::filesystem::path(data_path("models/" + name)), texts, options);
  }
  Traced run(Engine& engine, const std::filesystem::path& path, const std::vector<TraceText>& texts,
             TraceOptions options) {
    const auto model = load_model(engine, path);
    options.out = folder_ / (std::string(engine.name()) + "-" + path.filename().string());
    options.lens = model->config().has_head;
    return {trace(engine, *model, nullptr, texts, options), options.out};
  }

  void expect_alike(const Traced& got, const Traced& want) {
    const RunReader got_run(got.run), want_run(want.run);
    for (const auto& [name, description] : want_run.manifest().at("arrays").items()) {
      SCOPED_TRACE(name);
      const NpyArray a = got_run.array(name), b = want_run.array(name);
      ASSERT_EQ(a.shape, b.shape);
      // Places of equal or almost equal weights may change: their weights are compared.
      if (name.ends_with("_index") || name.ends_with("_id") || name.ends_with("argmax") || name.ends_with("rank"))
        continue;
      if (a.dtype != DType::f32) {
        EXPECT_EQ(a.data.size(), b.data.size());
        EXPECT_TRUE(std::ranges::equal(a.data, b.data));
        continue;
      }
      const double bound = bound_of(name, largest_of(b));
      const float *const x = a.values<float>(a.shape.size()), *const y = b.values<float>(b.shape.size());
      double worst = 0;
      for (std::size_t i = 0; i < a.data.size() / sizeof(float); ++i)
        if (x[i] != y[i])
          worst = std::max(worst, std::isnan(x[i]) || std::isnan(y[i]) ? INFINITY : std::abs(double{x[i]} - y[i]));
      EXPECT_LE(worst, bound);
      if (name == "hidden_states")
        RecordProperty("hidden_states_error_of_largest", fmt::format("{:.1e}", worst / largest_of(b)));
    }
    ASSERT_EQ(got.summary.layers.size(), want.summary.layers.size());
    for (std::size_t layer = 0; layer < want.summary.layers.size(); ++layer) {
      const LayerSummary &a = got.summary.layers[layer], &b = want.summary.layers[layer];
      EXPECT_NEAR(a.drift, b.drift, 1e-4 * (1 + b.drift));
      EXPECT_NEAR(a.attention_entropy, b.attention_entropy, 1e-4);
    }
    EXPECT_EQ(got.summary.log_prob.has_value(), want.summary.log_prob.has_value());
    if (got.summary.log_prob && want.summary.log_prob) {
      const auto tokens = static_cast<double>(want.summary.tokens);
      EXPECT_NEAR(*got.summary.log_prob, *want.summary.log_prob, 1e-4 * tokens);
    }
  }

  TemporaryFolder folder_{fast_folder()};
  std::unique_ptr<Engine> engine_ = make_bare_test_engine(GetParam(), 2), reference_ = make_engine("reference");
};

// Every array that a trace of one text can have, and a continuation of it.
TEST_P(TraceOnEngine, TracesATextWithAllItsMaps) {
  for (const std::string name : {"bert", "gpt2", "llama"}) {
    SCOPED_TRACE(name);
    const TraceOptions options{.maps = {.pooled = true, .topk = true, .full = true},
                               .pool = 4,
                               .top_k = 5,
                               .generate = name == "bert" ? 0u : 3u};
    const Traced got = run(*engine_, name, {text_of(13)}, options),
                 want = run(*reference_, name, {text_of(13)}, options);
    expect_alike(got, want);
    ASSERT_EQ(got.summary.generated.size(), want.summary.generated.size());
    for (std::size_t i = 0; i < want.summary.generated.size(); ++i) {
      EXPECT_EQ(got.summary.generated[i].id, want.summary.generated[i].id);
      EXPECT_NEAR(got.summary.generated[i].log_prob, want.summary.generated[i].log_prob, 1e-4);
    }
  }
}

TEST_P(TraceOnEngine, TracesSeveralTextsInBatches) {
  const std::vector<TraceText> texts{text_of(13), text_of(1), text_of(5)};
  for (const std::string name : {"bert_mlm", "qwen2"}) {
    SCOPED_TRACE(name);
    const TraceOptions options{.maps = {.topk = true}, .top_k = 3, .batch_tokens = 14};
    expect_alike(run(*engine_, name, texts, options), run(*reference_, name, texts, options));
  }
}

TEST_P(TraceOnEngine, TracesARealModel) {
  const char* const model = std::getenv("LEXISCOPE_TRACED_MODEL");
  if (!model) GTEST_SKIP() << "LEXISCOPE_TRACED_MODEL names no model";
  const std::filesystem::path path = model;
  const Traced got = run(*engine_, path, {text_of(16)}, {}), want = run(*reference_, path, {text_of(16)}, {});
  expect_alike(got, want);
}

INSTANTIATE_TEST_SUITE_P(Engines, TraceOnEngine, ::testing::ValuesIn(engines_under_test()), EngineNames());

}  // namespace
}  // namespace lexiscope::testing
