#include "host/model/description.h"

#include "host/core/require.h"

namespace lexiscope {

void check_measures(const ModelDescription& model, const std::string& where) {
  const ModelConfig& config = model.config;
  constexpr std::size_t kMostHeadDim = 256;
  const auto refuse = [&](const std::string& problem) { fail(ErrorCode::kInvalidFile, "{}: {}", where, problem); };
  if (config.architecture != Architecture::llama && config.width % config.heads != 0)
    refuse(fmt::format("a width of {} does not divide into {} heads", config.width, config.heads));
  if (config.heads % config.key_heads != 0)
    refuse(fmt::format("{} heads do not divide into {} key heads", config.heads, config.key_heads));
  if (config.head_dim > kMostHeadDim)
    fail(ErrorCode::kUnsupported, "{}: heads of {} elements are not supported; at most {} are", where, config.head_dim,
         kMostHeadDim);
  if (model.rotary && (model.rotary->dimensions % 2 != 0 || model.rotary->dimensions > config.head_dim))
    refuse(fmt::format("{} rotary elements do not fit a head of {}", model.rotary->dimensions, config.head_dim));
}

ModelDescription describe_model(const std::filesystem::path& model, const Checkpoint& checkpoint) {
  if (checkpoint.gguf()) return describe_gguf(*checkpoint.gguf(), checkpoint);
  if (std::filesystem::is_directory(model)) return describe_hugging_face(model, checkpoint);
  fail(ErrorCode::kInvalidFile, "{} is neither a model folder nor a .gguf file", model.string());
}

ModelConfig read_model_config(const std::filesystem::path& model) {
  return describe_model(model, *open_checkpoint(model)).config;
}

}  // namespace lexiscope
