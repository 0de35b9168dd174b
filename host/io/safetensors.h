// The safetensors format, read through mappings: one file, or a model sharded by an index. Format: an 8-byte
// little-endian header length, a JSON header, then the tensors' bytes.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/io/mapped_file.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

struct SafetensorsEntry {
  std::string name;
  std::string stored_dtype;  ///< as the header says: "F32", "BF16", "I64", ...
  std::vector<std::size_t> shape;
  std::span<const std::byte> data;
  MappedFile file;  ///< keeps the mapping alive; names the shard

  /// The DType of F64, F32, F16, BF16, I64, I32 and U8. Throws Error{kInvalidFile} naming file, tensor and type for
  /// another.
  DType dtype() const;
};

/// Opens a .safetensors file, or with a *.safetensors.index.json the shards it names (beside it). Throws
/// Error{kInvalidFile} naming file, field and value: a header length beyond the file or 100 MB, a header that is not
/// JSON, a shape or offsets that overflow, overlap, leave gaps or the file, or disagree with each other and the type,
/// an unknown type, a duplicate name, a missing shard, or one that lacks the tensor the index places in it. Of a
/// sharded model the tensors in the index are listed.
class Safetensors {
 public:
  explicit Safetensors(const std::filesystem::path& path);

  const std::vector<SafetensorsEntry>& entries() const noexcept { return entries_; }  ///< sorted by name
  /// Null where there is none.
  const SafetensorsEntry* find(std::string_view name) const noexcept;

 private:
  std::vector<SafetensorsEntry> entries_;
};

}  // namespace lexiscope
