// NumPy's .npy format: the header parsed and checked before any of the data is believed; arrays written as a stream.
#include "host/io/npy.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/npy_header.h"
#include "host/io/output_file.h"
#include "host/io/regular_file.h"

namespace lexiscope {
namespace {

struct Preamble {
  std::size_t header_at = 0;      // where the dictionary begins
  std::size_t header_length = 0;  // up to the data
};

// Six bytes of magic, two of version, then the header's length: 2 bytes in version 1, 4 from version 2 on.
Preamble read_preamble(std::span<const std::byte> bytes, const std::string& path) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kNpyMagic.size()));
  if (start.empty()) fail(ErrorCode::kInvalidFile, "{}: is empty, not an .npy file", path);
  if (start != kNpyMagic.substr(0, start.size()))
    fail(ErrorCode::kInvalidFile, "{}: is not an .npy file: it begins with {}", path, in_quotes(start));
  const std::size_t major = bytes.size() > 6 ? std::to_integer<std::size_t>(bytes[6]) : 1;
  const std::size_t minor = bytes.size() > 7 ? std::to_integer<std::size_t>(bytes[7]) : 0;
  if (major < 1 || major > 3 || minor != 0)
    fail(ErrorCode::kInvalidFile, "{}: .npy version {}.{} is unknown; 1.0, 2.0 and 3.0 can be read", path, major,
         minor);
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  Preamble preamble{.header_at = 8 + length_bytes};
  if (bytes.size() < preamble.header_at)
    fail(ErrorCode::kInvalidFile, "{}: is cut short: {} bytes, the .npy preamble has {}", path, bytes.size(),
         preamble.header_at);
  for (std::size_t i = 0; i < length_bytes; ++i)
    preamble.header_length |= std::to_integer<std::size_t>(bytes[8 + i]) << (8 * i);
  const std::size_t left = bytes.size() - preamble.header_at;
  if (preamble.header_length > left)
    fail(ErrorCode::kInvalidFile, "{}: is cut short: the header's length is {} bytes, the file has {} after it", path,
         preamble.header_length, left);
  return preamble;
}

DType dtype_named(const std::string& descr, const std::string& path) {
  for (const DType dtype : {DType::f16, DType::f32, DType::f64, DType::i32, DType::i64, DType::u8})
    if (descr == npy_descr(dtype)) return dtype;
  fail(ErrorCode::kInvalidFile, "{}: dtype {} is not supported; <f2, <f4, <f8, <i4, <i8 and |u1 are", path,
       in_quotes(descr));
}

}  // namespace

NpyArray read_npy(const std::filesystem::path& path) {
  const std::string name = path.string();
  NpyArray array{.file = MappedFile(path), .shape = {}, .data = {}};
  const auto bytes = array.file.bytes();
  const Preamble preamble = read_preamble(bytes, name);
  const NpyHeader header = parse_npy_header(
      {reinterpret_cast<const char*>(bytes.data()) + preamble.header_at, preamble.header_length}, name);
  array.dtype = dtype_named(header.descr, name);
  array.shape = header.shape;
  array.fortran_order = header.fortran_order;
  array.data = bytes.subspan(preamble.header_at + preamble.header_length);
  const auto needed = checked_product(array.shape, size_of(array.dtype));
  if (!needed) fail(ErrorCode::kInvalidFile, "{}: shape {} overflows", name, shape_text(array.shape));
  if (*needed != array.data.size())
    fail(ErrorCode::kInvalidFile, "{}: shape {} of {} needs {} bytes of data, the file has {}", name,
         shape_text(array.shape), header.descr, *needed, array.data.size());
  return array;
}

void NpyArray::expect(DType wanted, std::size_t rank) const {
  const std::string path = file.path().string();
  if (dtype != wanted || shape.size() != rank)
    fail(ErrorCode::kInvalidFile, "{}: is {} of shape {}, {} of rank {} is needed", path, name_of(dtype),
         shape_text(shape), name_of(wanted), rank);
  if (fortran_order && rank > 1) fail(ErrorCode::kInvalidFile, "{}: is in Fortran order, C order is needed", path);
  if (reinterpret_cast<std::uintptr_t>(data.data()) % size_of(wanted) != 0)
    fail(ErrorCode::kInvalidFile, "{}: the data begins at byte {}, which is no multiple of the element's {} bytes",
         path, static_cast<std::size_t>(data.data() - file.bytes().data()), size_of(wanted));
}

struct NpyWriter::State {
  State(std::filesystem::path path, DType dtype_, std::vector<std::size_t> row_shape_, std::size_t row_bytes_)
      : file(std::move(path)), dtype(dtype_), row_shape(std::move(row_shape_)), row_bytes(row_bytes_) {}

  OutputFile file;
  DType dtype;
  std::vector<std::size_t> row_shape;
  std::size_t row_bytes;
  std::size_t data_bytes = 0;
};

NpyWriter::NpyWriter(std::filesystem::path path, DType dtype, std::vector<std::size_t> row_shape) {
  const auto row_bytes = checked_product(row_shape, size_of(dtype));
  require(row_bytes && *row_bytes > 0, "{}: rows of shape {} hold no elements or overflow", path.string(),
          shape_text(row_shape));
  require(row_shape.size() < kMaxFileRank, "{}: rank {} is more than {}", path.string(), row_shape.size() + 1,
          kMaxFileRank);
  const std::string header = npy_file_header(dtype, 0, row_shape);
  state_ = std::make_unique<State>(std::move(path), dtype, std::move(row_shape), *row_bytes);
  state_->file.append(std::as_bytes(std::span(header)));
}

NpyWriter::NpyWriter(NpyWriter&&) noexcept = default;
NpyWriter& NpyWriter::operator=(NpyWriter&&) noexcept = default;
NpyWriter::~NpyWriter() = default;

void NpyWriter::append(std::span<const std::byte> elements) {
  state_->file.append(elements);
  state_->data_bytes += elements.size();
}

// The checksum covers the header, which is known last: the whole file is read back, mostly from memory still.
NpyWriter::Result NpyWriter::finish() {
  State& state = *state_;
  require(state.data_bytes % state.row_bytes == 0, "{}: {} bytes are no whole number of rows of {} bytes",
          state.file.path().string(), state.data_bytes, state.row_bytes);
  Result result;
  result.shape.push_back(state.data_bytes / state.row_bytes);
  result.shape.insert(result.shape.end(), state.row_shape.begin(), state.row_shape.end());
  const std::string header = npy_file_header(state.dtype, result.shape.front(), state.row_shape);
  state.file.write_at(0, std::as_bytes(std::span(header)));
  result.checksum = checksum_file(state.file.partial_path());
  state.file.commit();
  return result;
}

std::uint64_t checksum_file(const std::filesystem::path& path) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> hash(XXH3_createState(), XXH3_freeState);
  if (!hash) fail(ErrorCode::kOutOfMemory, "out of memory: no room for the state of a checksum");
  XXH3_64bits_reset(hash.get());
  RegularFile(path).read_blocks(
      [&](std::span<const std::byte> block) { XXH3_64bits_update(hash.get(), block.data(), block.size()); });
  return XXH3_64bits_digest(hash.get());
}

}  // namespace lexiscope
