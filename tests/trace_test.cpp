// Traces of small checkpoints (tests/data/models): every array beside what the layers show, dense maps and
// distributions in double, whatever the batches and threads; and what is refused.
#include "lexiscope/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/io/run_directory.h"
#include "tests/support/compare.h"
#include "tests/support/dense_attention.h"
#include "tests/support/errors.h"
#include "tests/support/files.h"
#include "tests/support/runs.h"

namespace lexiscope::testing {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Shape = std::vector<std::size_t>;

/// Ids without a pattern, from 3 on.
TraceText text_of(std::size_t tokens, std::size_t seed) {
  TraceText text;
  for (std::size_t i = 0; i < tokens; ++i)
    text.tokens.push_back({.id = static_cast<std::int32_t>(3 + (i * i * 7 + i * 11 + seed * 17) % 50)});
  return text;
}

std::vector<std::int32_t> ids_of(const TraceText& text) {
  std::vector<std::int32_t> ids;
  for (const Token& token : text.tokens) ids.push_back(token.id);
  return ids;
}

template <typename Element>
std::vector<Element> values_of(const std::filesystem::path& run, const std::string& name) {
  const NpyArray array = RunReader(run).array(name);
  const Element* values = array.values<Element>(array.shape.size());
  return {values, values + array.data.size() / sizeof(Element)};
}

Shape shape_of(const std::filesystem::path& run, const std::string& name) { return RunReader(run).array(name).shape; }

/// The part of `values` that holds row `row` of rows of `size` values.
template <typename Element>
std::vector<Element> part(const std::vector<Element>& values, std::size_t row, std::size_t size) {
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row * size);
  return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

class TraceTest : public ::testing::Test {
 protected:
  std::unique_ptr<Model> model(const std::string& name, const ModelOptions& options = {}) {
    return load_model(*engine_, data_path("models/" + name), options);
  }
  TraceOptions options(const std::string& run = "run") const { return {.out = folder_ / run}; }
  TraceSummary run(Model& model, const std::vector<TraceText>& texts, const TraceOptions& options) {
    return trace(*engine_, model, nullptr, texts, options);
  }

  TemporaryFolder folder_{fast_folder()};
  std::unique_ptr<Engine> engine_ = make_engine("cpu", {.threads = 2});
};

/// Keeps the arrays that a trace takes over as they are.
class Recorder final : public ForwardObserver {
 public:
  bool wants_layer(std::size_t) const override { return true; }
  void on_embedding(MatrixView<const float> state) override { add("hidden_states", state); }
  void on_layer(const LayerView& layer) override {
    add("hidden_states", layer.state);
    add("attention_entropy", layer.entropy);
    add("attention_lse", layer.log_sum_exp);
    add("attention_maximum", layer.maximum);
    add("drift", row(layer.drift));
    add("drift_relative", row(layer.drift_relative));
    add("drift_cosine", row(layer.drift_cosine));
    add("attention_update", row(layer.attention_update));
    add("attention_step", row(layer.attention_step));
    add("mlp_update", row(layer.mlp_update));
    add("mlp_step", row(layer.mlp_step));
  }
  std::map<std::string, std::vector<float>> arrays;

 private:
  static MatrixView<const float> row(VectorView<const float> vector) { return {vector.data, 1, vector.size, 0}; }
  void add(const std::string& name, MatrixView<const float> from) {
    for (std::size_t i = 0; i < from.rows; ++i)
      arrays[name].insert(arrays[name].end(), from.row(i), from.row(i) + from.columns);
  }
};

/// Keeps the dense map of each layer's texts.
class DenseMaps final : public ForwardObserver {
 public:
  explicit DenseMaps(const TokenBatch& batch) : batch_(batch) {}
  bool wants_layer(std::size_t) const override { return true; }
  void on_layer(const LayerView& layer) override {
    for (std::size_t text = 0; text < batch_.texts(); ++text)
      maps.push_back(dense_attention(layer, batch_.offsets[text], batch_.offsets[text + 1] - batch_.offsets[text]));
  }
  std::vector<DenseAttention> maps;  ///< [layer, text]

 private:
  const TokenBatch& batch_;
};

const std::vector<std::string> kModels = {"bert", "bert_mlm", "gpt2", "llama", "qwen2"};
const std::vector<TraceText> kTexts = {text_of(13, 1), text_of(1, 2), text_of(5, 3)};

TokenBatch batch_of(const std::vector<TraceText>& texts) {
  TokenBatch batch;
  for (const TraceText& text : texts) batch.add(ids_of(text));
  return batch;
}

// The texts in one batch: the same bits as a forward pass of our own gives.
TEST_F(TraceTest, WritesWhatTheLayersShow) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const auto model = this->model(name);
    const TraceSummary summary = run(*model, kTexts, options(name));
    const TokenBatch batch = batch_of(kTexts);
    Recorder seen;
    const MatrixView<const float> last = model->forward(batch, seen);
    for (const auto& [array, want] : seen.arrays) EXPECT_EQ(values_of<float>(folder_ / name, array), want) << array;
    EXPECT_EQ(values_of<std::int32_t>(folder_ / name, "token_ids"), batch.ids);
    EXPECT_THAT(values_of<std::int64_t>(folder_ / name, "text_offsets"), ElementsAre(0, 13, 14, 19));

    const std::size_t layers = model->config().layers, d = model->config().width, rows = batch.rows();
    EXPECT_EQ(shape_of(folder_ / name, "hidden_states"), (Shape{layers + 1, rows, d}));
    EXPECT_EQ(shape_of(folder_ / name, "attention_entropy"), (Shape{layers, model->config().heads, rows}));
    if (model->config().architecture != Architecture::bert) {
      std::vector<float> normed(rows * d);
      model->final_norm(last, {normed.data(), rows, d, d});
      EXPECT_EQ(values_of<float>(folder_ / name, "final_norm"), normed);
    } else {
      EXPECT_FALSE(RunReader(folder_ / name).manifest().at("arrays").contains("final_norm"));
    }
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const std::vector<float> drift = part(seen.arrays["drift"], layer, rows);
      EXPECT_NEAR(summary.layers[layer].drift, std::accumulate(drift.begin(), drift.end(), 0.0) / double(rows), 1e-12);
    }
  }
}

// A weight's relative error is that of its score: d_k products and sums, then the exponential and the division.
TEST_F(TraceTest, WritesTheMapsOfEachText) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const auto model = this->model(name);
    TraceOptions wanted = options(name);
    wanted.maps.topk = true;
    wanted.top_k = 4;
    run(*model, kTexts, wanted);
    const TokenBatch batch = batch_of(kTexts);
    DenseMaps dense(batch);
    model->forward(batch, dense);
    const std::size_t heads = model->config().heads, rows = batch.rows();
    const auto received = values_of<float>(folder_ / name, "attention_received");
    const auto weight = values_of<float>(folder_ / name, "attention_topk_weight");
    const auto index = values_of<std::int32_t>(folder_ / name, "attention_topk_index");
    const auto distances = values_of<float>(folder_ / name, "attention_by_distance");
    EXPECT_EQ(shape_of(folder_ / name, "attention_by_distance"), (Shape{model->config().layers, heads, 13}));
    for (std::size_t layer = 0; layer < model->config().layers; ++layer)
      for (std::size_t head = 0; head < heads; ++head) {
        std::vector<double> by_distance(13);
        for (std::size_t text = 0; text < kTexts.size(); ++text) {
          const DenseAttention& map = dense.maps[layer * kTexts.size() + text];
          for (std::size_t i = 0; i < map.tokens; ++i) {
            const std::size_t at = (layer * heads + head) * rows + batch.offsets[text] + i;
            double sum = 0;
            for (std::size_t j = 0; j < map.tokens; ++j) {
              sum += map.weight(head, j, i);
              by_distance[i > j ? i - j : j - i] += map.weight(head, i, j);
            }
            EXPECT_NEAR(received[at], sum, map.relative_bound * sum);
            for (std::size_t k = 0; k < 4; ++k) {
              const std::int32_t j = index[at * 4 + k];
              EXPECT_EQ(j >= 0, k < (model->config().causal ? i + 1 : map.tokens));
              const double want = map.sorted(head, i)[k];
              EXPECT_NEAR(weight[at * 4 + k], want, map.relative_bound * want);
              if (j < 0) continue;
              EXPECT_NEAR(map.weight(head, i, static_cast<std::size_t>(j)), want, 2 * map.relative_bound * want);
            }
          }
        }
        for (std::size_t distance = 0; distance < 13; ++distance)
          EXPECT_NEAR(distances[(layer * heads + head) * 13 + distance], by_distance[distance] / double(rows), 1e-6);
      }
  }
}

TEST_F(TraceTest, WritesTheMapOfATextAlone) {
  const auto model = this->model("llama");
  TraceOptions wanted = options();
  wanted.maps = {.pooled = true, .topk = false, .full = true};
  wanted.pool = 4;
  const std::vector<TraceText> texts{text_of(13, 1)};
  run(*model, texts, wanted);
  const TokenBatch batch = batch_of(texts);
  DenseMaps dense(batch);
  model->forward(batch, dense);
  const std::size_t heads = model->config().heads;
  const auto full = values_of<float>(folder_ / "run", "attention"),
             mean = values_of<float>(folder_ / "run", "attention_pooled"),
             maximum = values_of<float>(folder_ / "run", "attention_pooled_maximum");
  EXPECT_EQ(shape_of(folder_ / "run", "attention"), (Shape{model->config().layers, heads, 13, 13}));
  EXPECT_EQ(shape_of(folder_ / "run", "attention_pooled"), (Shape{model->config().layers, heads, 4, 4}));
  for (std::size_t map = 0; map < model->config().layers * heads; ++map) {
    std::vector<double> sums(16), counts(16), largest(16);
    const DenseAttention& want = dense.maps[map / heads];
    for (std::size_t i = 0; i < 13; ++i)
      for (std::size_t j = 0; j < 13; ++j) {
        const double weight = want.weight(map % heads, i, j);
        EXPECT_NEAR(full[(map * 13 + i) * 13 + j], weight, want.relative_bound * weight);
        const std::size_t cell = i * 4 / 13 * 4 + j * 4 / 13;
        sums[cell] += weight;
        counts[cell] += 1;
        largest[cell] = std::max(largest[cell], weight);
      }
    for (std::size_t cell = 0; cell < 16; ++cell) {
      EXPECT_NEAR(mean[map * 16 + cell], sums[cell] / counts[cell], want.relative_bound);
      EXPECT_NEAR(maximum[map * 16 + cell], largest[cell], want.relative_bound);
    }
  }
  EXPECT_FALSE(RunReader(folder_ / "run").manifest().at("arrays").contains("text_offsets"));
}

/// log softmax of each row of logits, in double.
std::vector<double> log_softmax(Model& model, MatrixView<const float> state) {
  const std::size_t vocabulary = model.config().vocabulary;
  std::vector<float> logits(state.rows * vocabulary);
  model.logits(state, {logits.data(), state.rows, vocabulary, vocabulary});
  std::vector<double> logs(logits.begin(), logits.end());
  for (std::size_t row = 0; row < state.rows; ++row) {
    double sum = 0;
    for (std::size_t id = 0; id < vocabulary; ++id) sum += std::exp(logs[row * vocabulary + id]);
    for (std::size_t id = 0; id < vocabulary; ++id) logs[row * vocabulary + id] -= std::log(sum);
  }
  return logs;
}

// Logits of these models are below 8: their products' rounding stays below 60 u * 8, two orders below the bound.
constexpr double kLogBound = 1e-4;

TEST_F(TraceTest, WritesHowCertainTheModelIsOfTheNextToken) {
  const auto model = this->model("gpt2");
  TraceOptions wanted = options();
  wanted.top_k = 3;
  const TraceSummary summary = run(*model, kTexts, wanted);
  const TokenBatch batch = batch_of(kTexts);
  ForwardObserver nothing;
  const auto want = log_softmax(*model, model->forward(batch, nothing));
  const std::size_t vocabulary = model->config().vocabulary;
  const auto log_prob = values_of<float>(folder_ / "run", "next_log_prob"),
             entropy = values_of<float>(folder_ / "run", "next_entropy"),
             top = values_of<float>(folder_ / "run", "next_topk_log_prob");
  const auto rank = values_of<std::int32_t>(folder_ / "run", "next_rank");
  ASSERT_EQ(shape_of(folder_ / "run", "next_log_prob"), Shape{16});  // 19 tokens, 3 of them first
  EXPECT_EQ(shape_of(folder_ / "run", "next_topk_id"), (Shape{19, 3}));
  double total = 0;
  std::size_t predicted = 0;
  for (std::size_t row = 0; row < batch.rows(); ++row) {
    auto sorted = part(want, row, vocabulary);
    double sum = 0;
    for (const double log : sorted) sum -= std::exp(log) * log;
    EXPECT_NEAR(entropy[row], sum, kLogBound);
    if (row != 12 && row != 13 && row != 18) {  // the texts' last tokens
      const double log = sorted[static_cast<std::size_t>(batch.ids[row + 1])];
      EXPECT_NEAR(log_prob[predicted], log, kLogBound);
      EXPECT_EQ(rank[predicted], 1 + std::ranges::count_if(sorted, [&](double other) { return other > log; }));
      total += log;
      if (row < 12) {
        EXPECT_EQ(summary.first_text[row + 1].log_prob, log_prob[predicted]);
        EXPECT_EQ(summary.first_text[row + 1].rank, static_cast<std::size_t>(rank[predicted]));
      }
      ++predicted;
    }
    std::ranges::sort(sorted, std::greater());
    for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(top[row * 3 + k], sorted[k], kLogBound);
  }
  EXPECT_EQ(summary.first_text.size(), 13u);
  EXPECT_FALSE(summary.first_text.front().log_prob.has_value());
  EXPECT_NEAR(summary.log_prob.value(), total, 16 * kLogBound);
  EXPECT_NEAR(summary.perplexity.value(), std::exp(-total / 16), 1e-3 * std::exp(-total / 16));
}

TEST_F(TraceTest, OfAModelThatSeesBothWaysTellsOfTheTokenItself) {
  const auto model = this->model("bert_mlm");
  const TraceSummary summary = run(*model, kTexts, options());
  const TokenBatch batch = batch_of(kTexts);
  ForwardObserver nothing;
  const auto want = log_softmax(*model, model->forward(batch, nothing));
  const auto log_prob = values_of<float>(folder_ / "run", "token_log_prob");
  ASSERT_EQ(log_prob.size(), batch.rows());
  for (std::size_t row = 0; row < batch.rows(); ++row)
    EXPECT_NEAR(log_prob[row], want[row * model->config().vocabulary + static_cast<std::size_t>(batch.ids[row])],
                kLogBound);
  EXPECT_EQ(summary.first_text.front().log_prob, log_prob.front());
  EXPECT_TRUE(summary.log_prob.has_value());
  EXPECT_FALSE(summary.perplexity.has_value());
}

TEST_F(TraceTest, ThroughALensSeesEveryLayer) {
  const auto model = this->model("gpt2");
  TraceOptions wanted = options();
  wanted.lens = true;
  wanted.top_k = 2;
  const TraceSummary summary = run(*model, kTexts, wanted);
  const std::size_t layers = 3, rows = 19, d = model->config().width;
  EXPECT_EQ(shape_of(folder_ / "run", "lens_log_prob"), (Shape{layers, 16}));
  EXPECT_EQ(shape_of(folder_ / "run", "lens_topk_id"), (Shape{layers, rows, 2}));
  for (const char* part_name : {"_log_prob", "_entropy", "_topk_log_prob"}) {
    const auto lens = values_of<float>(folder_ / "run", std::string("lens") + part_name),
               last = values_of<float>(folder_ / "run", std::string("next") + part_name);
    EXPECT_EQ(part(lens, 2, last.size()), last);
  }
  const auto states = values_of<float>(folder_ / "run", "hidden_states");
  const auto entropy = values_of<float>(folder_ / "run", "lens_entropy");
  const auto logs = log_softmax(*model, {states.data() + rows * d, rows, d, d});
  double sum = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    double want = 0;
    for (const double log : part(logs, row, model->config().vocabulary)) want -= std::exp(log) * log;
    EXPECT_NEAR(entropy[row], want, kLogBound);
    sum += entropy[row];
  }
  EXPECT_NEAR(summary.layers[0].lens_entropy.value(), sum / rows, 1e-12);
}

// The arrays of some layers are those of all, cut; nothing after the last of them is needed.
TEST_F(TraceTest, OfSomeLayersHasTheirArraysAlone) {
  TraceOptions wanted = options("all");
  run(*model("gpt2"), kTexts, wanted);
  wanted = options("some");
  wanted.layers = {1, 1};
  wanted.lens = true;
  const TraceSummary summary = run(*model("gpt2", {.last_layer = 1}), kTexts, wanted);
  const std::size_t state = 19 * 24;
  const auto some = values_of<float>(folder_ / "some", "hidden_states"),
             all = values_of<float>(folder_ / "all", "hidden_states");
  EXPECT_EQ(some, std::vector<float>(all.begin() + state, all.begin() + 3 * state));
  EXPECT_EQ(values_of<float>(folder_ / "some", "attention_received"),
            part(values_of<float>(folder_ / "all", "attention_received"), 1, 2 * 19));
  ASSERT_EQ(summary.layers.size(), 1u);
  EXPECT_EQ(summary.layers[0].layer, 1u);
  const auto arrays = RunReader(folder_ / "some").manifest().at("arrays");
  EXPECT_FALSE(arrays.contains("next_log_prob"));
  EXPECT_FALSE(arrays.contains("final_norm"));
  EXPECT_TRUE(arrays.contains("lens_log_prob"));

  wanted = options("beyond");
  wanted.layers = {1, 2};
  const auto cut = model("gpt2", {.last_layer = 1});
  EXPECT_EQ(message_of([&] { run(*cut, kTexts, wanted); }),
            "the model was loaded without layer 2, which is to be traced");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "beyond/manifest.json"));
}

TEST_F(TraceTest, GivesTheSameWhateverTheBatches) {
  const auto model = this->model("llama");
  for (const std::size_t tokens : {1, 6, 14, 4096}) {
    TraceOptions wanted = options(std::to_string(tokens));
    wanted.batch_tokens = tokens;
    run(*model, kTexts, wanted);
  }
  for (const char* name : {"hidden_states", "drift", "attention_received", "attention_by_distance", "next_log_prob"}) {
    const auto want = values_of<float>(folder_ / "4096", name);
    for (const char* other : {"1", "6", "14"}) {
      const auto got = values_of<float>(folder_ / other, name);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4) << name << " " << i;
    }
  }
}

TEST_F(TraceTest, GivesTheSameBitsOnAnyNumberOfThreads) {
  std::vector<std::map<std::string, std::string>> runs;
  for (const int threads : {1, 2, 3}) {
    const auto engine = make_engine("cpu", {.threads = threads});
    const auto model = load_model(*engine, data_path("models/llama"));
    TraceOptions wanted = options(std::to_string(threads));
    wanted.maps = {.pooled = true, .topk = true, .full = true};
    wanted.lens = true;
    wanted.generate = 6;
    wanted.temperature = 1;
    trace(*engine, *model, nullptr, {text_of(17, 1)}, wanted);
    runs.push_back(arrays_of(folder_ / std::to_string(threads)));
  }
  EXPECT_EQ(runs[0].size(), 35u);
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_EQ(runs[0], runs[2]);
}

// Greedy tokens are those that forward passes over the whole text so far would choose.
TEST_F(TraceTest, ContinuesAText) {
  const auto model = this->model("llama");
  TraceOptions wanted = options();
  wanted.generate = 8;
  std::vector<TraceText> texts{text_of(7, 1)};
  const TraceSummary summary = run(*model, texts, wanted);
  ASSERT_FALSE(summary.generated.empty());
  for (const GeneratedToken& token : summary.generated) {
    const TokenBatch batch = batch_of(texts);
    ForwardObserver nothing;
    const auto state = model->forward(batch, nothing);
    const auto logs = log_softmax(*model, state.rows_from(state.rows - 1, 1));
    const auto best = std::ranges::max_element(logs);
    EXPECT_EQ(token.id, best - logs.begin());
    EXPECT_NEAR(token.log_prob, *best, kLogBound);
    double entropy = 0;
    for (const double log : logs) entropy -= std::exp(log) * log;
    EXPECT_NEAR(token.entropy, entropy, kLogBound);
    EXPECT_EQ(token.rank, 1u);
    texts.front().tokens.push_back({.id = token.id});
  }
  std::vector<std::int32_t> ids;
  for (const GeneratedToken& token : summary.generated) ids.push_back(token.id);
  EXPECT_EQ(values_of<std::int32_t>(folder_ / "run", "generated_ids"), ids);
  EXPECT_THAT(values_of<std::int32_t>(folder_ / "run", "generated_rank"), Each(1));
}

TEST_F(TraceTest, ContinuesATextInBf16) {
  const auto model = this->model("llama", {.precision = DType::bf16});
  TraceOptions wanted = options();
  wanted.generate = 4;
  const TraceSummary summary = run(*model, {text_of(7, 1)}, wanted);
  EXPECT_EQ(summary.generated.size(), 4u);
  EXPECT_EQ(RunReader(folder_ / "run").manifest().at("parameters").at("precision"), "bf16");
}

TEST_F(TraceTest, DrawsTheSameTokensFromTheSameSeed) {
  const auto model = this->model("gpt2");
  const auto drawn = [&](std::uint64_t seed, double temperature) {
    TraceOptions wanted = options();
    wanted.existing = TraceOptions::Existing::overwrite;
    wanted.generate = 12;
    wanted.temperature = temperature;
    wanted.seed = seed;
    run(*model, {text_of(9, 4)}, wanted);
    return values_of<std::int32_t>(folder_ / "run", "generated_ids");
  };
  const auto first = drawn(1, 2);
  EXPECT_EQ(drawn(1, 2), first);
  EXPECT_NE(drawn(2, 2), first);
  EXPECT_EQ(drawn(3, 1e-4), drawn(3, 0));  // the likeliest token alone is left
}

TEST_F(TraceTest, RefusesWhatDoesNotSuitBeforeItWrites) {
  const auto gpt2 = model("gpt2"), bert = model("bert");
  const auto message = [&](Model& model, const std::vector<TraceText>& texts, auto&& change) {
    TraceOptions wanted = options();
    change(wanted);
    std::string text = message_of([&] { run(model, texts, wanted); });
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path())) << text;
    return text;
  };
  const auto nothing = [](TraceOptions&) {};
  const std::vector<TraceText> one{text_of(5, 1)};
  EXPECT_EQ(message(*gpt2, {}, nothing), "there is no text");
  EXPECT_EQ(message(*gpt2, {TraceText{}}, nothing), "the text is empty: it has no tokens");
  EXPECT_EQ(message(*gpt2, {one[0], TraceText{}}, nothing), "text 1 is empty: it has no tokens");
  EXPECT_EQ(message(*gpt2, {text_of(33, 1)}, nothing), "the text has 33 tokens, the model's context holds 32");
  EXPECT_EQ(message(*gpt2, {TraceText{.tokens = {{.id = 3}, {.id = 61}}}}, nothing),
            "token 1 of the text has the id 61, the model's are 0 to 60");
  EXPECT_EQ(message(*gpt2, one, [](TraceOptions& o) { o.out = ""; }), "out: no run directory is given");
  EXPECT_EQ(message(*gpt2, one,
                    [](TraceOptions& o) {
                      o.layers = {2, 1};
                    }),
            "layers is 2-1, the first needs to be no later than the last");
  EXPECT_EQ(message(*gpt2, one, [](TraceOptions& o) { o.layers = {1, 3}; }), "layers is 1-3, the model's are 0 to 2");
  EXPECT_EQ(message(*gpt2, one, [](TraceOptions& o) { o.top_k = 62; }),
            "top-k is 62, needs 1 to 61, the vocabulary's size");
  EXPECT_EQ(message(*gpt2, one, [](TraceOptions& o) { o.pool = 0; }), "pool is 0, needs at least 1");
  EXPECT_EQ(message(*gpt2, kTexts, [](TraceOptions& o) { o.maps.full = true; }),
            "maps full is of one text alone, there are 3");
  EXPECT_EQ(message(*gpt2, kTexts, [](TraceOptions& o) { o.maps.pooled = true; }),
            "maps pooled is of one text alone, there are 3");
  EXPECT_EQ(message(*gpt2, kTexts, [](TraceOptions& o) { o.generate = 1; }),
            "generate continues one text alone, there are 3");
  EXPECT_EQ(message(*gpt2, one, [](TraceOptions& o) { o.generate = 28; }),
            "generate is 28, but after a text of 5 tokens the model's context of 32 holds 27 more");
  EXPECT_EQ(message(*gpt2, one, [](TraceOptions& o) { o.temperature = 1; }),
            "temperature is 1, but no tokens are to be generated");
  EXPECT_THAT(message(*gpt2, one, [](TraceOptions& o) { o.generate = 1, o.temperature = -1; }),
              HasSubstr("temperature is -1"));
  EXPECT_THAT(message(*gpt2, one,
                      [](TraceOptions& o) {
                        o.generate = 1, o.layers = {0, 1};
                      }),
              HasSubstr("needs the model's last layer, 2; layers ends with 1"));
  EXPECT_EQ(message(*bert, one, [](TraceOptions& o) { o.lens = true; }),
            "lens needs a model that predicts tokens; this one has no head for it");
  EXPECT_EQ(message(*bert, one, [](TraceOptions& o) { o.generate = 1; }),
            "generate is 1, but a model of type bert does not continue texts");
}

TEST_F(TraceTest, OverwritesOnlyWhereItMay) {
  const auto model = this->model("gpt2");
  TraceOptions wanted = options();
  run(*model, kTexts, wanted);
  EXPECT_THAT(message_of([&] { run(*model, kTexts, wanted); }), HasSubstr("exists already"));
  wanted.existing = TraceOptions::Existing::overwrite;
  run(*model, {text_of(3, 1)}, wanted);
  EXPECT_EQ(shape_of(folder_ / "run", "token_ids"), Shape{3});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/text_offsets.npy"));
}

TEST_F(TraceTest, StoppedLeavesNoManifestAndNoPartialFiles) {
  const auto model = this->model("gpt2");
  std::stop_source stop;
  const Control control{.stop = stop.get_token(), .progress = [&](double) { stop.request_stop(); }};
  try {
    trace(*engine_, *model, nullptr, kTexts, options(), &control);
    FAIL() << "was not stopped";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "run"))
    EXPECT_EQ(entry.path().filename(), "unfinished.json");
}

TEST_F(TraceTest, ReportsProgressUpToTheEnd) {
  const auto model = this->model("gpt2");
  double done = 0;
  std::vector<std::string> stages;
  TraceOptions wanted = options();
  wanted.batch_tokens = 5;
  wanted.on_stage = [&](std::string_view stage, std::size_t) { stages.emplace_back(stage); };
  const Control control{.stop = {}, .progress = [&](double share) {
                          EXPECT_GE(share, done);
                          done = share;
                        }};
  trace(*engine_, *model, nullptr, kTexts, wanted, &control);
  EXPECT_EQ(done, 1);
  EXPECT_THAT(stages, ElementsAre("forward"));
}

}  // namespace
}  // namespace lexiscope::testing
