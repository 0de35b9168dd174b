// NumPy's .npy format: read through a mapping, written as a stream. NEP 1; version 1.0 is written, 1.0 to 3.0 are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/io/mapped_file.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

/// An array in a mapped .npy file, as it lies there.
struct NpyArray {
  MappedFile file;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  bool fortran_order = false;
  std::span<const std::byte> data;  ///< not necessarily aligned to the element

  /// Throws Error{kInvalidFile} unless the array has this type, rank `shape.size()` and C order, naming the file,
  /// and the data is aligned to the element (files that lexiscope writes are).
  template <typename Element>
  const Element* values(std::size_t rank) const {
    expect(dtype_of<Element>(), rank);
    return reinterpret_cast<const Element*>(data.data());
  }

 private:
  void expect(DType wanted, std::size_t rank) const;
};

/// Reads f16, f32, f64, i32, i64 and u8, little-endian, in both orders. Throws Error{kInvalidFile} naming the file, the
/// field and its value: not an .npy, a header cut short or malformed, another dtype, a shape that overflows or has more
/// than 32 dimensions, or fewer or more bytes of data than the shape needs.
NpyArray read_npy(const std::filesystem::path& path);

/// Writes an array row by row: to `path` + ".partial", renamed to `path` by finish(). Without finish() the destructor
/// removes the partial file. The data begins at a multiple of 64 bytes.
class NpyWriter {
 public:
  /// `row_shape` is the shape without its first dimension, which finish() patches into the header; no extent of it is
  /// 0, or rows could not be counted. Throws Error{kInputOutput} where the file cannot be made, Error{kInvalidArgument}
  /// for bf16, which the format lacks, or a row shape with a 0, of more than 31 dimensions or overflowing.
  NpyWriter(std::filesystem::path path, DType dtype, std::vector<std::size_t> row_shape);
  NpyWriter(NpyWriter&&) noexcept;
  NpyWriter& operator=(NpyWriter&&) noexcept;
  ~NpyWriter();

  /// Appends elements in C order; rows may be cut anywhere. Throws Error{kInputOutput} (disk full: says how much was
  /// written).
  void append(std::span<const std::byte> elements);
  template <typename Element>
  void append(std::span<const Element> elements) {
    append(std::as_bytes(elements));
  }

  struct Result {
    std::vector<std::size_t> shape;
    std::uint64_t checksum = 0;  ///< XXH3-64 of the whole file
  };
  /// Patches the header, reads the file back for its checksum, syncs, renames into place. Throws Error{kInputOutput};
  /// or Error{kInvalidArgument} where the elements are no whole number of rows.
  Result finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// XXH3-64 of a whole file, as `xxhsum -H3` prints it. Throws as MappedFile does; Error{kInputOutput} where reading
/// fails.
std::uint64_t checksum_file(const std::filesystem::path& path);

}  // namespace lexiscope
