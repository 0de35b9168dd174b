// Where an embedding matrix comes from: a Hugging Face folder, a .safetensors, a .gguf or an .npy, with its tokens
// where known.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lexiscope/tensor.h"

namespace lexiscope {

struct EmbeddingOptions {
  std::string tensor;     ///< its name in the checkpoint; empty: found by the names models give it
  std::size_t limit = 0;  ///< the first rows only; 0: all
};

struct Embedding {
  MatrixView<const float> matrix;   ///< [N, d]; borrowed from the mapping where the file holds aligned f32 rows
  std::vector<std::string> tokens;  ///< [N] UTF-8, or empty where the source names none
  std::string path;                 ///< the file that holds the matrix
  std::string tensor;               ///< its name there; empty for an .npy
  std::string sha256;               ///< of that file, lower-case hex
  std::string stored_dtype;         ///< "F32", "BF16", "<f4", ...
  std::shared_ptr<const void> keep_alive;
};

/// Reads SOURCE: a Hugging Face folder, a .safetensors file (or the *.index.json of a sharded one), a .gguf or an .npy.
/// In a folder: model.safetensors or model.safetensors.index.json; tokens from tokenizer.json, vocab.txt or vocab.json
/// (rows beyond the vocabulary are called "[row N]"); where config.json is there, its vocabulary size and width must be
/// the tensor's. The tensor is the one whose name ends in word_embeddings.weight, wte.weight, embed_tokens.weight,
/// embed_in.weight or shared.weight, unless options name one; a tensor that options name is not held to config.json,
/// and has tokens only where it has a row for each. Of a .gguf it is token_embd.weight, with the tokens of its
/// metadata. Everything is converted to f32.
///
/// Throws Error{kInvalidFile} naming file, field and value where something is missing, malformed, not of rank 2, empty,
/// or holds a value that f32 cannot: a NaN or infinity, an f64 beyond its range, an integer beyond 2^24 (names row and
/// column); Error{kInvalidArgument} where options.limit exceeds N, or options.tensor is given for an .npy.
Embedding load_embedding(const std::filesystem::path& source, const EmbeddingOptions& options = {});

/// Lower-case hex of a file's SHA-256. Throws as MappedFile does; Error{kInputOutput} where reading fails.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace lexiscope
