// The forward pass of small checkpoints on every engine beside transformers' eager attention in double
// (tests/data/models, made by scripts/goldens_models.py), and what must hold whatever the weights are.
#include "lexiscope/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "host/io/npy.h"
#include "tests/support/compare.h"
#include "tests/support/control.h"
#include "tests/support/engine_memory.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kTexts = 2, kTokens = 13;
const std::vector<std::string> kModels = {"bert", "bert_mlm", "gpt2", "llama", "qwen2", "mistral", "llama_gguf"};

std::filesystem::path folder_of(const std::string& name) { return data_path("models/" + name); }

std::filesystem::path model_path(const std::string& name) {
  return name.ends_with("gguf") ? folder_of(name) / "model.gguf" : folder_of(name);
}

template <typename Element>
std::vector<Element> golden(const std::string& model, const std::string& array) {
  const NpyArray file = read_npy(folder_of(model) / ("golden_" + array + ".npy"));
  const Element* values = file.values<Element>(file.shape.size());
  return {values, values + file.data.size() / sizeof(Element)};
}

double largest(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0,
                         [](double a, double b) { return std::max(a, std::abs(b)); });
}

TokenBatch golden_batch(const std::string& model) {
  const auto ids = golden<std::int32_t>(model, "ids");
  TokenBatch batch;
  for (std::size_t text = 0; text < kTexts; ++text) batch.add(std::span(ids).subspan(text * kTokens, kTokens));
  return batch;
}

/// Keeps what the forward pass shows.
class Recorder final : public ForwardObserver {
 public:
  Recorder(Engine& engine, std::vector<std::size_t> offsets) : engine_(engine), offsets_(std::move(offsets)) {}

  void on_embedding(MatrixView<const float> state) override { add(states, state); }
  bool wants_layer(std::size_t) const override { return true; }
  void on_layer(const LayerView& layer) override {
    add(states, layer.state);
    add(entropies, layer.entropy);
    for (const auto& [to, from] : {std::pair{&drift, layer.drift},
                                   {&attention_update, layer.attention_update},
                                   {&attention_step, layer.attention_step},
                                   {&mlp_update, layer.mlp_update},
                                   {&mlp_step, layer.mlp_step}})
      add(*to, MatrixView<const float>{from.data, 1, from.size, from.size});
    add_received(layer);
  }

  std::vector<double> states, entropies, received, drift, attention_update, attention_step, mlp_update, mlp_step;

 private:
  void add(std::vector<double>& to, MatrixView<const float> from) {
    const std::vector<float> values = on_host(engine_, from);
    to.insert(to.end(), values.begin(), values.end());
  }

  static ConstTensorView tokens_of(ConstTensorView heads, std::size_t first, std::size_t count) {
    heads.data = static_cast<const float*>(heads.data) + first * heads.strides[1];
    heads.shape[1] = count;
    return heads;
  }

  void add_received(const LayerView& layer) {
    const std::size_t heads = layer.query.shape[0], rows = offsets_.back();
    const Tensor sums = on_engine(engine_, std::vector<float>(heads * rows));
    const MatrixView<float> by_head{sums.vector<float>().data, heads, rows, rows};
    for (std::size_t text = 0; text + 1 < offsets_.size(); ++text) {
      const std::size_t first = offsets_[text], count = offsets_[text + 1] - first;
      engine_.attention_map({.query = tokens_of(layer.query, first, count),
                             .key = tokens_of(layer.key, first, count),
                             .scale = layer.scale,
                             .mask = layer.mask,
                             .log_sum_exp = {layer.log_sum_exp.data + first, heads, count, layer.log_sum_exp.stride},
                             .received = {by_head.data + first, heads, count, rows}});
    }
    add(received, by_head);
  }

  Engine& engine_;
  std::vector<std::size_t> offsets_;
};

/// Golden arrays are [text, leading, token, trailing]; ours have the texts' tokens side by side: [leading, text, token,
/// trailing].
std::vector<double> by_row(const std::vector<double>& values, std::size_t leading, std::size_t trailing) {
  std::vector<double> turned;
  const std::size_t part = kTokens * trailing;
  for (std::size_t at = 0; at < leading; ++at)
    for (std::size_t text = 0; text < kTexts; ++text) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>((text * leading + at) * part);
      turned.insert(turned.end(), begin, begin + static_cast<std::ptrdiff_t>(part));
    }
  return turned;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want, double bound, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
  EXPECT_LE(worst, bound) << what;
}

class ModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Engine> engine_ = make_bare_test_engine(GetParam(), 2);

  std::vector<double> values_of(MatrixView<const float> states) {
    const std::vector<float> values = on_host(*engine_, states);
    return {values.begin(), values.end()};
  }
};

// Parity. The bounds are those of f32 interfaces between the operations: each of a layer's roundings is u = 6e-8 of
// the largest state, and with a few dozen of them in a chain whose gain is near 1 they stay below 1e-5 of it. The
// reference engine rounds at the same places, so its bound is the same.
TEST_P(ModelTest, AgreesWithTransformers) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const auto model = load_model(*engine_, model_path(name));
    const ModelConfig& config = model->config();
    const TokenBatch batch = golden_batch(name);
    Recorder seen(*engine_, batch.offsets);
    const MatrixView<const float> last = model->forward(batch, seen);

    const auto states = by_row(golden<double>(name, "hidden_states"), config.layers + 1, config.width);
    expect_near(seen.states, states, 1e-5 * largest(states), "hidden states");
    const std::size_t maps = config.layers * config.heads;
    expect_near(seen.entropies, by_row(golden<double>(name, "attention_entropy"), maps, 1), 2e-5, "entropy");
    expect_near(seen.received, by_row(golden<double>(name, "attention_received"), maps, 1), 1e-4, "received");
    EXPECT_EQ(config.has_head, name != "bert");
    if (!config.has_head) continue;

    const auto log_probs = by_row(golden<double>(name, "log_probs"), 1, config.vocabulary);
    const std::size_t rows = batch.rows(), vocabulary = config.vocabulary;
    const auto f32 = [&](std::size_t size) { return engine_->allocate(DType::f32, {size}); };
    const auto i32 = [&](std::size_t size) { return engine_->allocate(DType::i32, {size}); };
    const Tensor logits_there = f32(rows * vocabulary), log_prob_there = f32(rows), entropy_there = f32(rows),
                 top_there = f32(rows), rank_there = i32(rows), id_there = i32(rows);
    const Tensor target = on_engine(*engine_, batch.ids);
    model->logits(last, {logits_there.vector<float>().data, rows, vocabulary, vocabulary});
    model->certainty(last, {.target = target.vector<std::int32_t>(),
                            .target_log_prob = log_prob_there.vector<float>(),
                            .target_rank = rank_there.vector<std::int32_t>(),
                            .entropy = entropy_there.vector<float>(),
                            .top_id = {id_there.vector<std::int32_t>().data, rows, 1, 1},
                            .top_log_prob = {top_there.vector<float>().data, rows, 1, 1}});
    const auto logits = on_host<float>(*engine_, logits_there), log_prob = on_host<float>(*engine_, log_prob_there),
               entropy = on_host<float>(*engine_, entropy_there), top = on_host<float>(*engine_, top_there);
    for (std::size_t row = 0; row < rows; ++row) {
      const double* const want = log_probs.data() + row * vocabulary;
      const float* const logit = logits.data() + row * vocabulary;
      EXPECT_NEAR(logit[3] - logit[7], want[3] - want[7], 1e-4) << row;
      EXPECT_NEAR(log_prob[row], want[batch.ids[row]], 1e-4) << row;
      double sum = 0;
      for (std::size_t id = 0; id < vocabulary; ++id) sum -= std::exp(want[id]) * want[id];
      EXPECT_NEAR(entropy[row], sum, 1e-4) << row;
      EXPECT_NEAR(top[row], *std::max_element(want, want + vocabulary), 1e-4) << row;
    }
  }
}

// In bf16 each of a layer's products rounds its input and its weights, 2^-8 each, four products in a chain and the
// attention's inputs: ten roundings a layer and some for the norms' amplification. And f32 is not what ran.
TEST_P(ModelTest, RunsInBf16) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const auto model = load_model(*engine_, model_path(name), {.precision = DType::bf16});
    const TokenBatch batch = golden_batch(name);
    ForwardObserver nothing;
    const MatrixView<const float> got = model->forward(batch, nothing);
    const ModelConfig& config = model->config();
    const auto states = by_row(golden<double>(name, "hidden_states"), config.layers + 1, config.width);
    const std::vector<double> want(states.end() - static_cast<std::ptrdiff_t>(got.rows * got.columns), states.end());
    double worst = 0;
    const std::vector<double> states_got = values_of(got);
    for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(states_got[i] - want[i]));
    EXPECT_LE(worst, 10 * 0x1p-8 * static_cast<double>(config.layers) * largest(want));
    EXPECT_GE(worst, 1e-4 * largest(want));
  }
}

// Each step's length from the recorded states; in a pre-LN layer an update and its step are one.
TEST_P(ModelTest, MeasuresEachStep) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const auto model = load_model(*engine_, model_path(name));
    const TokenBatch batch = golden_batch(name);
    Recorder seen(*engine_, batch.offsets);
    model->forward(batch, seen);
    const std::size_t d = model->config().width, rows = batch.rows();
    for (std::size_t i = 0; i < seen.drift.size(); ++i) {
      double squares = 0;
      for (std::size_t c = 0; c < d; ++c) {
        const std::size_t at = i * d + c;  // rows of layer l + 1 follow those of layer l
        squares += std::pow(seen.states[at + rows * d] - seen.states[at], 2);
      }
      EXPECT_NEAR(seen.drift[i], std::sqrt(squares), 1e-6 * (1 + std::sqrt(squares)));
    }
    const bool post_norm = model->config().architecture == Architecture::bert;
    EXPECT_EQ(seen.attention_update == seen.attention_step, !post_norm);
    EXPECT_EQ(seen.mlp_update == seen.mlp_step, !post_norm);
  }
}

TEST_P(ModelTest, GivesATextTheSameStatesWhateverIsBesideIt) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const auto model = load_model(*engine_, model_path(name));
    const TokenBatch both = golden_batch(name);
    ForwardObserver nothing;
    const MatrixView<const float> states = model->forward(both, nothing);
    const std::vector<double> second = values_of(states.rows_from(kTokens, kTokens));
    TokenBatch alone;
    alone.add(std::span(both.ids).subspan(kTokens));
    expect_near(values_of(model->forward(alone, nothing)), second, 1e-5 * largest(second), "states");
  }
}

TEST_P(ModelTest, ContinuesATextFromTheCacheAsIfItWereWhole) {
  for (const std::string name : {"gpt2", "llama", "qwen2", "mistral", "llama_gguf"}) {
    SCOPED_TRACE(name);
    const auto model = load_model(*engine_, model_path(name));
    const TokenBatch batch = golden_batch(name);
    const std::span whole = std::span(batch.ids).first(kTokens);
    ForwardObserver nothing;
    TokenBatch text;
    text.add(whole);
    const std::vector<double> want = values_of(model->forward(text, nothing));

    const auto cache = model->make_cache(kTokens);
    std::vector<double> got;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 1}, {6, 6}, {12, 1}}) {
      TokenBatch piece;
      piece.add(whole.subspan(first, count));
      const std::vector<double> states = values_of(model->forward(piece, nothing, cache.get()));
      got.insert(got.end(), states.begin(), states.end());
    }
    EXPECT_EQ(cache->tokens(), kTokens);
    expect_near(got, want, 1e-5 * largest(want), "states");
    TokenBatch more;
    more.add(whole.first(1));
    EXPECT_EQ(message_of([&] { model->forward(more, nothing, cache.get()); }),
              "forward: the cache holds 13 of 13 tokens, 1 more do not fit");
  }
}

// The cache holds the keys and values that attention sees without one. But a last bit of f32 that differs may round to
// another bf16 before the next product: the bound is that of such roundings, as in RunsInBf16.
TEST_P(ModelTest, ContinuesATextInBf16) {
  constexpr std::size_t kPast = 9;
  for (const std::string name : {"gpt2", "llama", "llama_gguf"}) {
    SCOPED_TRACE(name);
    const auto model = load_model(*engine_, model_path(name), {.precision = DType::bf16});
    const std::vector<std::int32_t> ids = golden_batch(name).ids;
    const std::span whole = std::span(ids).first(kTokens);
    ForwardObserver nothing;
    TokenBatch text, past, rest;
    text.add(whole);
    past.add(whole.first(kPast));
    rest.add(whole.subspan(kPast));
    const std::vector<double> want = values_of(model->forward(text, nothing).rows_from(kPast, kTokens - kPast));
    const auto cache = model->make_cache(kTokens);
    model->forward(past, nothing, cache.get());
    const std::vector<double> got = values_of(model->forward(rest, nothing, cache.get()));
    expect_near(got, want, 10 * 0x1p-8 * static_cast<double>(model->config().layers) * largest(want), "states");
  }
}

TEST_P(ModelTest, EndsAtTheLastLayerWanted) {
  const auto model = load_model(*engine_, model_path("gpt2"), {.last_layer = 0});
  const TokenBatch batch = golden_batch("gpt2");
  Recorder seen(*engine_, batch.offsets);
  model->forward(batch, seen);
  const std::size_t d = model->config().width;
  EXPECT_EQ(seen.states.size(), 2 * batch.rows() * d);
  EXPECT_EQ(model->config().layers, 3u);
  EXPECT_EQ(message_of([&] { load_model(*engine_, model_path("gpt2"), {.last_layer = 3}); }),
            "load_model: last_layer is 3, the model's layers are 0 to 2");
}

TEST_P(ModelTest, StopsWhenAsked) {
  const auto model = load_model(*engine_, model_path("bert"));
  ForwardObserver nothing;
  expect_control_is_honoured(
      [&](const Control* control) { model->forward(golden_batch("bert"), nothing, nullptr, control); });
}

INSTANTIATE_TEST_SUITE_P(Engines, ModelTest, ::testing::ValuesIn(test_engines()), EngineNames());

TEST(ModelBits, AreTheSameOnAnyNumberOfThreads) {
  for (const std::string& name : kModels) {
    std::vector<std::vector<float>> runs;
    for (const int threads : {1, 2, 3}) {
      const auto engine = make_engine("cpu", {.threads = threads});
      const auto model = load_model(*engine, model_path(name));
      ForwardObserver nothing;
      const MatrixView<const float> states = model->forward(golden_batch(name), nothing);
      runs.emplace_back(states.data, states.data + states.rows * states.columns);
    }
    EXPECT_EQ(runs[0], runs[1]) << name;
    EXPECT_EQ(runs[0], runs[2]) << name;
  }
}

// What a forward pass refuses.

class ForwardErrors : public ::testing::Test {
 protected:
  std::string refused(const std::string& name, const TokenBatch& batch) {
    const auto model = load_model(*engine_, model_path(name));
    ForwardObserver nothing;
    return message_of([&] { model->forward(batch, nothing); });
  }
  static TokenBatch text(std::vector<std::int32_t> ids) {
    TokenBatch batch;
    batch.add(ids);
    return batch;
  }
  std::unique_ptr<Engine> engine_ = make_engine("cpu");
};

TEST_F(ForwardErrors, NameWhatIsWrongWithTheBatch) {
  EXPECT_EQ(refused("gpt2", {}), "forward: the batch holds no text");
  EXPECT_EQ(refused("gpt2", text({})), "forward: text 0 is empty");
  EXPECT_EQ(refused("gpt2", text({5, 61})), "forward: token 1 of text 0 has the id 61, the vocabulary holds 0 to 60");
  EXPECT_EQ(refused("gpt2", text({-1})), "forward: token 0 of text 0 has the id -1, the vocabulary holds 0 to 60");
  EXPECT_EQ(refused("gpt2", text(std::vector<std::int32_t>(33, 5))),
            "forward: text 0 has 33 tokens, the model's context holds 32");
  EXPECT_EQ(refused("mistral", text(std::vector<std::int32_t>(41, 5))),
            "forward: text 0 has 41 tokens, the model's context holds 40");  // its sliding window
  TokenBatch typed = text({5, 6});
  typed.token_types = {0, 2};
  EXPECT_EQ(refused("bert", typed), "forward: a token type is 2, the model has 2");
  typed.token_types = {0};
  EXPECT_EQ(refused("bert", typed), "forward: token_types has 1 elements, needs 2");
}

TEST_F(ForwardErrors, RefuseAHeadOrCacheThatIsNotThere) {
  const auto bert = load_model(*engine_, model_path("bert"));
  std::vector<float> row(24);
  std::string message;
  try {
    bert->certainty({row.data(), 1, 24, 24}, {});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("has no head that predicts tokens"));
  EXPECT_THROW(bert->make_cache(4), Error);

  const auto one = load_model(*engine_, model_path("gpt2")), other = load_model(*engine_, model_path("gpt2"));
  const auto cache = one->make_cache(4);
  ForwardObserver nothing;
  EXPECT_EQ(message_of([&] { other->forward(text({5}), nothing, cache.get()); }),
            "forward: the cache was made for another model");
  EXPECT_EQ(message_of([&] { one->make_cache(33); }), "make_cache: tokens is 33, needs 1 to 32, the model's context");
}

}  // namespace
}  // namespace lexiscope::testing
