// Finds the embedding matrix in what a user names, and brings it to f32 rows: borrowed from the file where they lie
// there.
#include "host/io/embedding_source.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "host/core/finite.h"
#include "host/core/host_memory.h"
#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/checkpoint.h"
#include "host/io/convert.h"
#include "host/io/json_file.h"
#include "host/io/npy.h"
#include "host/io/npy_header.h"
#include "host/io/regular_file.h"
#include "host/io/safetensors.h"
#include "host/io/token_names.h"

namespace lexiscope {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// BERT's family and BLOOM, GPT-2, LLaMA's family, GPT-NeoX, T5 and BART.
constexpr std::string_view kEmbeddingNames[] = {"word_embeddings.weight", "wte.weight", "embed_tokens.weight",
                                                "embed_in.weight", "shared.weight"};

constexpr std::string_view kGgufTokens = "tokenizer.ggml.tokens";

bool is_there(const fs::path& path) {
  std::error_code problem;
  return fs::exists(path, problem);
}

// "wte.weight" and "transformer.wte.weight", not "xwte.weight".
bool ends_in_component(std::string_view name, std::string_view ending) {
  return name == ending || (name.ends_with(ending) && name[name.size() - ending.size() - 1] == '.');
}

std::string some_names(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", " : "") + in_quotes(names[i]);
  return names.size() > kShown ? fmt::format("{} and {} more", text, names.size() - kShown) : text;
}

std::vector<std::string> names_of(const std::vector<SafetensorsEntry>& entries) {
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : entries) names.push_back(entry.name);
  return names;
}

const SafetensorsEntry& choose_tensor(const Safetensors& tensors, const std::string& wanted, const std::string& path) {
  if (!wanted.empty()) {
    if (const SafetensorsEntry* entry = tensors.find(wanted)) return *entry;
    fail(ErrorCode::kInvalidFile, "{}: holds no tensor {}; it holds {}", path, in_quotes(wanted),
         some_names(names_of(tensors.entries())));
  }
  for (const std::string_view ending : kEmbeddingNames) {
    std::vector<SafetensorsEntry> found;
    for (const SafetensorsEntry& entry : tensors.entries())
      if (ends_in_component(entry.name, ending)) found.push_back(entry);
    if (found.size() > 1)
      fail(ErrorCode::kInvalidFile, "{}: several tensors may be the embedding, one must be named: {}", path,
           some_names(names_of(found)));
    if (found.size() == 1) return *tensors.find(found.front().name);
  }
  fail(ErrorCode::kInvalidFile, "{}: no tensor's name ends in {}; one must be named of {}", path,
       fmt::join(kEmbeddingNames, ", "), some_names(names_of(tensors.entries())));
}

// Of the keys that models use for one thing, the first that is there and a number.
void check_config(const fs::path& path, const std::string& tensor, std::span<const std::size_t> shape) {
  const json config = read_json_object(path);
  const auto check = [&](std::initializer_list<const char*> keys, std::size_t axis) {
    for (const char* key : keys) {
      if (!config.contains(key) || config.at(key).is_null()) continue;
      const std::size_t value = count_field(config, key, path.string());
      if (value != shape[axis])
        fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, tensor {} has shape {}", path.string(), key, value,
             in_quotes(tensor), shape_text(shape));
      return;
    }
  };
  check({"vocab_size"}, 0);
  // ALBERT, ELECTRA and OPT embed in a narrower space than they compute in: those keys come first.
  check({"embedding_size", "word_embed_proj_dim", "hidden_size", "n_embd", "d_model"}, 1);
}

void require_matrix(const std::string& name, std::span<const std::size_t> shape) {
  if (shape.size() != 2)
    fail(ErrorCode::kInvalidFile, "{}: shape is {}, a matrix of rank 2 is needed", name, shape_text(shape));
  if (shape[0] == 0 || shape[1] == 0)
    fail(ErrorCode::kInvalidFile, "{}: shape is {}, it is empty", name, shape_text(shape));
}

// Fills matrix and keep_alive: `file` keeps the stored bytes mapped.
void take_matrix(Embedding& embedding, const StoredMatrix& stored, const MappedFile& file, std::size_t limit) {
  require(limit <= stored.rows, "{}: a limit of {} rows is given, it has {}", stored.name, limit, stored.rows);
  const std::size_t rows = limit ? limit : stored.rows;
  if (is_dense_f32(stored)) {
    embedding.matrix = {reinterpret_cast<const float*>(stored.data.data()), rows, stored.columns, stored.columns};
    embedding.keep_alive = std::make_shared<MappedFile>(file);
  } else {
    auto converted = std::make_shared<Tensor>(convert_to_f32(stored, rows));
    embedding.matrix = converted->matrix<float>();
    embedding.keep_alive = std::move(converted);
  }
  try {
    require_finite(stored.name, "the matrix", embedding.matrix, 1);
  } catch (const Error& error) {  // the same words, but it is the file that is at fault
    throw Error(ErrorCode::kInvalidFile, error.what());
  }
}

Embedding from_npy(const fs::path& path, const EmbeddingOptions& options) {
  require(options.tensor.empty(), "{}: an .npy file has no tensors by name, {} was asked for", path.string(),
          in_quotes(options.tensor));
  const NpyArray array = read_npy(path);
  require_matrix(path.string(), array.shape);
  Embedding embedding;
  embedding.path = path.string();
  embedding.stored_dtype = npy_descr(array.dtype);
  take_matrix(embedding,
              {.data = array.data,
               .dtype = array.dtype,
               .rows = array.shape[0],
               .columns = array.shape[1],
               .fortran_order = array.fortran_order,
               .name = path.string()},
              array.file, options.limit);
  embedding.sha256 = sha256_file(path);
  return embedding;
}

// `folder` is where config.json and the vocabulary lie; none where a file was named alone.
Embedding from_safetensors(const fs::path& path, const std::optional<fs::path>& folder,
                           const EmbeddingOptions& options) {
  const Safetensors tensors(path);
  const SafetensorsEntry& entry = choose_tensor(tensors, options.tensor, path.string());
  const std::string name = fmt::format("{}: tensor {}", entry.file.path().string(), in_quotes(entry.name));
  require_matrix(name, entry.shape);
  if (folder && options.tensor.empty() && is_there(*folder / "config.json"))
    check_config(*folder / "config.json", entry.name, entry.shape);
  Embedding embedding;
  embedding.path = entry.file.path().string();
  embedding.tensor = entry.name;
  embedding.stored_dtype = entry.stored_dtype;
  take_matrix(
      embedding,
      {.data = entry.data, .dtype = entry.dtype(), .rows = entry.shape[0], .columns = entry.shape[1], .name = name},
      entry.file, options.limit);
  if (folder) {
    TokenNames tokens = read_token_names(*folder, embedding.matrix.rows);
    if (options.tensor.empty() || tokens.vocabulary <= entry.shape[0]) embedding.tokens = std::move(tokens.names);
  }
  embedding.sha256 = sha256_file(entry.file.path());
  return embedding;
}

Embedding from_gguf(const fs::path& path, const EmbeddingOptions& options) {
  const auto checkpoint = open_checkpoint(path);
  const std::string name = options.tensor.empty() ? "token_embd.weight" : options.tensor;
  const CheckpointEntry* entry = checkpoint->find(name);
  if (!entry) {
    std::vector<std::string> names;
    for (const CheckpointEntry& other : checkpoint->entries()) names.push_back(other.name);
    fail(ErrorCode::kInvalidFile, "{}: holds no tensor {}; it holds {}", path.string(), in_quotes(name),
         some_names(names));
  }
  const std::string where = checkpoint->describe(*entry);
  require_matrix(where, entry->shape);
  require(options.limit <= entry->shape[0], "{}: a limit of {} rows is given, it has {}", where, options.limit,
          entry->shape[0]);
  const std::size_t shape[] = {options.limit ? options.limit : entry->shape[0], entry->shape[1]};
  auto values = std::make_shared<Tensor>(allocate_host_tensor(DType::f32, shape));
  checkpoint->read_rows(*entry, 0, values->matrix<float>());
  Embedding embedding;
  embedding.path = path.string();
  embedding.tensor = name;
  embedding.stored_dtype = entry->stored_dtype;
  embedding.matrix = values->matrix<float>();
  embedding.keep_alive = std::move(values);
  if (checkpoint->gguf()->has(kGgufTokens)) {
    const auto& tokens = checkpoint->gguf()->texts(kGgufTokens);
    if (tokens.size() == entry->shape[0]) embedding.tokens.assign(tokens.begin(), tokens.begin() + shape[0]);
  }
  embedding.sha256 = sha256_file(path);
  return embedding;
}

}  // namespace

Embedding load_embedding(const fs::path& source, const EmbeddingOptions& options) {
  std::error_code problem;
  if (fs::is_directory(source, problem)) return from_safetensors(weights_file(source), source, options);
  const RegularFile readable(source);  // first of all: a wrong path is told as such, whatever its ending
  const std::string name = source.filename().string();
  if (name.ends_with(".npy")) return from_npy(source, options);
  if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"))
    return from_safetensors(source, std::nullopt, options);
  if (name.ends_with(".gguf")) return from_gguf(source, options);
  fail(ErrorCode::kInvalidFile, "{}: is no folder, .safetensors, .gguf or .npy", source.string());
}

}  // namespace lexiscope
