// A model's weights by name, whatever file they lie in: safetensors (one file or sharded) or GGUF, brought to f32 row
// by row from the mapping.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/io/gguf.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// What a checkpoint knows of one tensor, rows first (a GGUF file's dimensions are in reverse order there).
struct CheckpointEntry {
  std::string name;
  std::string stored_dtype;  ///< "F32", "BF16", "Q4_1", ...
  std::vector<std::size_t> shape;
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual const std::vector<CheckpointEntry>& entries() const noexcept = 0;  ///< sorted by name
  const CheckpointEntry* find(std::string_view name) const noexcept;         ///< null where there is none
  /// The metadata of a GGUF file; null for another.
  virtual const GgufFile* gguf() const noexcept { return nullptr; }
  /// The file that holds the tensor.
  virtual std::string path_of(const CheckpointEntry& entry) const = 0;
  /// For messages: "model.safetensors: tensor \"wte.weight\"".
  std::string describe(const CheckpointEntry& entry) const;

  /// Rows [first, first + to.rows) of a tensor of rank 1 (one row) or 2, as f32, dequantised exactly as stored. The
  /// caller has checked range and shape. Throws Error{kInvalidFile} naming file, tensor, row and column for a value
  /// that is not finite or that f32 cannot hold, and naming a stored type that there is no code for.
  void read_rows(const CheckpointEntry& entry, std::size_t first, MatrixView<float> to) const;

  /// The tensor of that name and shape: Error{kInvalidFile} names file, tensor, the shape it has and the shape needed.
  const CheckpointEntry& require(std::string_view name, std::span<const std::size_t> shape) const;

  /// All of such a tensor, of rank 1 or 2. Throws as require() and read_rows() do.
  std::vector<float> read(std::string_view name, std::span<const std::size_t> shape) const;

 private:
  friend std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& model);
  virtual void do_read_rows(const CheckpointEntry& entry, const std::string& where, std::size_t first,
                            MatrixView<float> to) const = 0;

  std::string path_;  ///< as the user named it
};

/// model.safetensors or model.safetensors.index.json in a Hugging Face folder. Throws Error{kInvalidFile} where there
/// is neither.
std::filesystem::path weights_file(const std::filesystem::path& folder);

/// Opens a Hugging Face folder, a .safetensors or a .gguf. Throws Error{kInvalidFile} as weights_file, Safetensors and
/// GgufFile do.
std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& model);

}  // namespace lexiscope
