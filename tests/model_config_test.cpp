// What config.json and GGUF metadata say of a model, and the errors for what they should not say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "host/model/rotary.h"
#include "lexiscope/model.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json config_of(const std::string& model) {
  return json::parse(read_bytes(data_path("models/" + model + "/config.json")));
}

TEST(ModelConfigTest, ReadsBert) {
  const ModelConfig config = read_model_config(data_path("models/bert"));
  EXPECT_EQ(config.architecture, Architecture::bert);
  EXPECT_EQ(config.layers, 2u);
  EXPECT_EQ(config.width, 24u);
  EXPECT_EQ(config.heads, 3u);
  EXPECT_EQ(config.key_heads, 3u);
  EXPECT_EQ(config.head_dim, 8u);
  EXPECT_EQ(config.mlp_width, 40u);
  EXPECT_EQ(config.vocabulary, 61u);
  EXPECT_EQ(config.context, 32u);
  EXPECT_FALSE(config.causal);
  EXPECT_FALSE(config.has_head);
  EXPECT_TRUE(read_model_config(data_path("models/bert_mlm")).has_head);
}

TEST(ModelConfigTest, ReadsGroupedHeadsAndTheEndOfText) {
  for (const std::string name : {"llama", "qwen2", "llama_gguf/model.gguf"}) {
    const ModelConfig config = read_model_config(data_path("models/" + name));
    EXPECT_EQ(config.architecture, Architecture::llama) << name;
    EXPECT_EQ(config.heads, 4u) << name;
    EXPECT_EQ(config.key_heads, 2u) << name;
    EXPECT_EQ(config.head_dim, 6u) << name;
    EXPECT_EQ(config.context, 64u) << name;
    EXPECT_TRUE(config.causal && config.has_head) << name;
    EXPECT_EQ(config.end_of_text, 2) << name;
  }
}

TEST(ModelConfigTest, EndsTheContextAtTheSlidingWindow) {
  const ModelConfig config = read_model_config(data_path("models/mistral"));
  EXPECT_EQ(config.context, 40u);
  EXPECT_EQ(config.head_dim, 8u);  // not width / heads
}

/// A copy of a model's folder with its configuration changed.
class ChangedConfig : public ::testing::Test {
 protected:
  std::string refused(const std::string& model, const json& changes, ErrorCode code = ErrorCode::kUnsupported) {
    json config = config_of(model);
    config.merge_patch(changes);
    folder_.write("config.json", config.dump());
    folder_.write("model.safetensors", read_bytes(data_path("models/" + model + "/model.safetensors")));
    return folder_.error(code, [&] { read_model_config(folder_.path()); });
  }
  TemporaryFolder folder_;
};

TEST_F(ChangedConfig, NamesWhatThereIsNoCodeFor) {
  EXPECT_EQ(refused("bert", {{"model_type", "t5"}}),
            "config.json: \"model_type\" is \"t5\"; bert, gpt2, llama, mistral and qwen2 are supported");
  EXPECT_EQ(refused("bert", {{"hidden_act", "relu"}}),
            "config.json: \"hidden_act\" is \"relu\"; gelu, gelu_new and gelu_pytorch_tanh are supported");
  EXPECT_EQ(refused("bert", {{"position_embedding_type", "relative_key"}}),
            "config.json: \"position_embedding_type\" is \"relative_key\"; only \"absolute\" is supported");
  EXPECT_EQ(refused("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}),
            "config.json: \"scale_attn_by_inverse_layer_idx\" is true; only false is supported");
  EXPECT_EQ(refused("llama", {{"hidden_act", "gelu"}}),
            "config.json: \"hidden_act\" is \"gelu\"; only \"silu\" is supported");
  EXPECT_EQ(
      refused("llama", {{"rope_parameters", {{"rope_type", "longrope"}}}}),
      "config.json: \"rope_parameters\": the kind \"longrope\" of scaling is not supported; default, linear, dynamic, "
      "llama3 and yarn are");
  EXPECT_EQ(refused("llama", {{"head_dim", 512}}),
            "config.json: heads of 512 elements are not supported; at most 256 are");
}

TEST_F(ChangedConfig, NamesWhatIsMissingOrMalformed) {
  const auto invalid = [&](const std::string& model, const json& changes) {
    return refused(model, changes, ErrorCode::kInvalidFile);
  };
  EXPECT_EQ(invalid("bert", {{"hidden_size", nullptr}}), "config.json: \"hidden_size\" is missing");
  EXPECT_EQ(invalid("bert", {{"num_attention_heads", 0}}),
            "config.json: \"num_attention_heads\" is 0, needs 1 to 2147483648");
  EXPECT_EQ(invalid("bert", {{"num_attention_heads", "three"}}),
            "config.json: \"num_attention_heads\" is \"three\", an integer of 0 or more is needed");
  EXPECT_EQ(invalid("bert", {{"num_attention_heads", 5}}), "config.json: a width of 24 does not divide into 5 heads");
  EXPECT_EQ(invalid("llama", {{"num_key_value_heads", 3}}), "config.json: 4 heads do not divide into 3 key heads");
  EXPECT_EQ(invalid("llama", {{"rms_norm_eps", -1}}), "config.json: \"rms_norm_eps\" is -1, needs a positive number");
  EXPECT_EQ(invalid("llama", {{"head_dim", 7}}), "config.json: 7 rotary elements do not fit a head of 7");
  EXPECT_EQ(invalid("llama", {{"rope_parameters", {{"factor", nullptr}}}}),
            "config.json: \"rope_parameters\": \"factor\" is missing");
  EXPECT_EQ(invalid("llama", {{"eos_token_id", "end"}}), "config.json: \"eos_token_id\" is \"end\", needs a token id");
}

TEST_F(ChangedConfig, NamesAWeightThatIsMissingOrMisshapen) {
  const auto engine = make_engine("cpu");
  const auto refused_weights = [&](const json& changes) {
    json config = config_of("gpt2");
    config.merge_patch(changes);
    folder_.write("config.json", config.dump());
    folder_.write("model.safetensors", read_bytes(data_path("models/gpt2/model.safetensors")));
    return folder_.error(ErrorCode::kInvalidFile, [&] { load_model(*engine, folder_.path()); });
  };
  EXPECT_THAT(refused_weights({{"n_layer", 4}}),
              HasSubstr("holds no tensor \"transformer.h.3.ln_1.weight\"; one of shape (24,) is needed"));
  EXPECT_EQ(refused_weights({{"n_inner", 90}}),
            "model.safetensors: tensor \"transformer.h.0.mlp.c_fc.weight\" has shape (24, 96), (24, 90) is needed");
  EXPECT_EQ(refused_weights({{"vocab_size", 60}}),
            "model.safetensors: tensor \"transformer.wte.weight\" has shape (61, 24), (60, 24) is needed");
}

// Rotary frequencies beside the formulas, worked out here for one pair each.

TEST(RotaryTest, FallsGeometrically) {
  const auto frequencies = rotary_frequencies(8, 10000);
  ASSERT_EQ(frequencies.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(frequencies[i], std::pow(10, -static_cast<double>(i)));
}

RotaryConfig scaled(const json& scaling) {
  RotaryConfig rotary{.dimensions = 64, .frequencies = rotary_frequencies(64, 500000)};
  scale_rotary(rotary, scaling, 500000, 8192, "config.json");
  return rotary;
}

TEST(RotaryTest, ScalesAsLlama3) {
  const auto plain = rotary_frequencies(64, 500000);
  const auto rotary = scaled({{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 8192u}});
  EXPECT_DOUBLE_EQ(rotary.frequencies.front(), plain.front());    // turns more than 4 times within 8,192 tokens
  EXPECT_DOUBLE_EQ(rotary.frequencies.back(), plain.back() / 8);  // less than once
}

TEST(RotaryTest, ScalesAsYarnAndLinear) {
  const auto plain = rotary_frequencies(64, 500000);
  const auto yarn = scaled({{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 8192u}});
  EXPECT_DOUBLE_EQ(yarn.frequencies.front(), plain.front());
  EXPECT_DOUBLE_EQ(yarn.frequencies.back(), plain.back() / 4);
  EXPECT_DOUBLE_EQ(yarn.magnitude, 0.1 * std::log(4.0) + 1);
  const auto linear = scaled({{"type", "linear"}, {"factor", 2.0}});
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(linear.frequencies[i], plain[i] / 2);
  EXPECT_EQ(scaled({{"rope_type", "dynamic"}, {"factor", 2.0}}).frequencies, plain);  // within the context
}

}  // namespace
}  // namespace lexiscope::testing
