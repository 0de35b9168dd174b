// The GGUF format of ggml (versions 2 and 3, little-endian), read through a mapping: metadata, then tensors, plain or
// quantised in blocks. Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/io/mapped_file.h"

namespace lexiscope {

/// A metadata value. Integers are widened to 64 bits, floats to double; truth values in arrays are integers.
using GgufValue = std::variant<std::int64_t, std::uint64_t, double, bool, std::string, std::vector<std::int64_t>,
                               std::vector<double>, std::vector<std::string>>;

struct GgufTensor {
  std::string name;
  std::uint32_t type = 0;           ///< ggml's number (host/io/gguf_blocks.h)
  std::string type_name;            ///< "F32", "Q4_1", ...; "type 99" for one unknown here
  std::vector<std::size_t> shape;   ///< rows first: the reverse of the file's order
  std::span<const std::byte> data;  ///< empty for an unknown type, whose size is not known
};

/// Throws Error{kInvalidFile} naming file, field, value and offset: a wrong magic, an unsupported version or byte
/// order, a file cut short, counts, lengths or offsets beyond the file, nested arrays, a duplicate key or tensor,
/// dimensions that overflow or do not divide into blocks, tensors that overlap, leave the file or miss their alignment.
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  const std::string& path() const noexcept { return path_; }
  const std::vector<GgufTensor>& tensors() const noexcept { return tensors_; }  ///< sorted by name
  bool has(std::string_view key) const noexcept;

  /// Metadata by key. Throw Error{kInvalidFile} naming file and key where it is missing or of another kind.
  const std::string& text(std::string_view key) const;
  std::uint64_t count(std::string_view key) const;  ///< an integer of any width that is not negative
  double number(std::string_view key) const;        ///< a float or an integer
  bool flag(std::string_view key) const;
  const std::vector<std::string>& texts(std::string_view key) const;
  const std::vector<std::int64_t>& integers(std::string_view key) const;
  const std::vector<double>& numbers(std::string_view key) const;

 private:
  const GgufValue* find(std::string_view key) const noexcept;
  const GgufValue& value(std::string_view key) const;

  std::string path_;
  MappedFile file_;
  std::vector<std::pair<std::string, GgufValue>> metadata_;  ///< sorted by key
  std::vector<GgufTensor> tensors_;
};

}  // namespace lexiscope
