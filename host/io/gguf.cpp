// Every count, length and offset in the file is checked against the bytes that are left before it is believed.
#include "host/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/gguf_blocks.h"

namespace lexiscope {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::size_t kMostDimensions = 4;
constexpr std::size_t kDefaultAlignment = 32;

// ggml's numbers of the kinds of metadata values.
enum class Kind : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
constexpr std::uint32_t kKinds = 13;

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  std::size_t offset() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  template <typename Number>
  Number number(std::string_view what) {
    Number value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

  // How many of something follow, each at least `bytes` long.
  std::size_t count(std::size_t bytes, std::string_view what) {
    const std::size_t at = at_;
    const auto value = number<std::uint64_t>(what);
    if (value > left() / bytes)
      fail(ErrorCode::kInvalidFile, "{}: {} at byte {} is {}, more than the {} bytes after it can hold", path_, what,
           at, value, left());
    return value;
  }

  std::string string(std::string_view what) {
    const auto characters = take(count(1, what), what);
    return {reinterpret_cast<const char*>(characters.data()), characters.size()};
  }

 private:
  std::span<const std::byte> take(std::size_t size, std::string_view what) {
    if (size > left())
      fail(ErrorCode::kInvalidFile, "{}: is cut short: {} at byte {} needs {} bytes, {} are left", path_, what, at_,
           size, left());
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }

  std::span<const std::byte> bytes_;
  const std::string& path_;
  std::size_t at_ = 0;
};

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, const std::string& path)
      : bytes_(bytes), path_(path), reader_(bytes, path) {}

  void header() {
    const auto magic = reader_.number<std::uint32_t>("the magic");
    if (magic != kMagic)
      fail(ErrorCode::kInvalidFile, "{}: begins with {:#010x}, a GGUF file begins with {:#010x} (\"GGUF\")", path_,
           magic, kMagic);
    const auto version = reader_.number<std::uint32_t>("the version");
    if (version != 2 && version != 3)
      fail(ErrorCode::kInvalidFile, "{}: is GGUF version {}{}; versions 2 and 3, little-endian, are supported", path_,
           version, version != 0 && version % 0x10000 == 0 ? " (big-endian)" : "");
    constexpr std::size_t kLeastTensor = 8 + 4 + 8 + 4 + 8, kLeastEntry = 8 + 4 + 1;
    tensor_count_ = reader_.count(kLeastTensor, "the number of tensors");
    entry_count_ = reader_.count(kLeastEntry, "the number of metadata entries");
  }

  std::vector<std::pair<std::string, GgufValue>> metadata() {
    std::vector<std::pair<std::string, GgufValue>> entries;
    for (std::size_t i = 0; i < entry_count_; ++i) {
      std::string key = reader_.string(fmt::format("the key of metadata entry {}", i));
      GgufValue value = this->value(fmt::format("metadata {}", in_quotes(key)));
      entries.emplace_back(std::move(key), std::move(value));
    }
    std::ranges::sort(entries, {}, &std::pair<std::string, GgufValue>::first);
    const auto twice = std::ranges::adjacent_find(entries, {}, &std::pair<std::string, GgufValue>::first);
    if (twice != entries.end())
      fail(ErrorCode::kInvalidFile, "{}: metadata {} is there twice", path_, in_quotes(twice->first));
    return entries;
  }

  std::vector<GgufTensor> tensors(std::size_t alignment) {
    struct Placed {
      GgufTensor tensor;
      std::uint64_t offset;
    };
    std::vector<Placed> placed;
    for (std::size_t i = 0; i < tensor_count_; ++i) {
      GgufTensor tensor = this->tensor(i);
      placed.push_back({std::move(tensor), reader_.number<std::uint64_t>("a tensor's offset")});
    }
    const std::size_t start = (reader_.offset() + alignment - 1) / alignment * alignment;
    std::vector<GgufTensor> tensors;
    for (auto& [tensor, offset] : placed) {
      place(tensor, offset, alignment, start);
      tensors.push_back(std::move(tensor));
    }
    require_apart(tensors);
    std::ranges::sort(tensors, {}, &GgufTensor::name);
    const auto twice = std::ranges::adjacent_find(tensors, {}, &GgufTensor::name);
    if (twice != tensors.end())
      fail(ErrorCode::kInvalidFile, "{}: tensor {} is there twice", path_, in_quotes(twice->name));
    return tensors;
  }

 private:
  Kind kind(std::string_view what) {
    const std::size_t at = reader_.offset();
    const auto number = reader_.number<std::uint32_t>(what);
    if (number >= kKinds)
      fail(ErrorCode::kInvalidFile, "{}: {} is of kind {} at byte {}; kinds 0 to {} are known", path_, what, number, at,
           kKinds - 1);
    return static_cast<Kind>(number);
  }

  GgufValue value(const std::string& what) {
    const Kind kind = this->kind(what);
    return kind == Kind::array ? array(what) : scalar(kind, what);
  }

  GgufValue scalar(Kind kind, std::string_view what) {
    switch (kind) {
      case Kind::u8:
        return std::uint64_t{reader_.number<std::uint8_t>(what)};
      case Kind::i8:
        return std::int64_t{reader_.number<std::int8_t>(what)};
      case Kind::u16:
        return std::uint64_t{reader_.number<std::uint16_t>(what)};
      case Kind::i16:
        return std::int64_t{reader_.number<std::int16_t>(what)};
      case Kind::u32:
        return std::uint64_t{reader_.number<std::uint32_t>(what)};
      case Kind::i32:
        return std::int64_t{reader_.number<std::int32_t>(what)};
      case Kind::u64:
        return reader_.number<std::uint64_t>(what);
      case Kind::i64:
        return reader_.number<std::int64_t>(what);
      case Kind::f32:
        return double{reader_.number<float>(what)};
      case Kind::f64:
        return reader_.number<double>(what);
      case Kind::boolean:
        return boolean(what);
      case Kind::string:
        return reader_.string(what);
      case Kind::array:
        break;
    }
    return array(what);
  }

  bool boolean(std::string_view what) {
    const std::size_t at = reader_.offset();
    const auto value = reader_.number<std::uint8_t>(what);
    if (value > 1)
      fail(ErrorCode::kInvalidFile, "{}: {} at byte {} is {}, a truth value is 0 or 1", path_, what, at, value);
    return value == 1;
  }

  GgufValue array(std::string_view what) {
    const Kind kind = this->kind(what);
    if (kind == Kind::array) fail(ErrorCode::kInvalidFile, "{}: {} is an array of arrays", path_, what);
    const std::size_t count = reader_.count(least_bytes(kind), what);
    if (kind == Kind::string) {
      std::vector<std::string> texts(count);
      for (std::string& text : texts) text = reader_.string(what);
      return texts;
    }
    if (kind == Kind::f32 || kind == Kind::f64) {
      std::vector<double> numbers(count);
      for (double& number : numbers) number = std::get<double>(scalar(kind, what));
      return numbers;
    }
    std::vector<std::int64_t> integers(count);
    for (std::int64_t& integer : integers) integer = integer_of(scalar(kind, what), what);
    return integers;
  }

  static std::size_t least_bytes(Kind kind) {
    constexpr std::size_t kBytes[kKinds] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
    return kBytes[static_cast<std::uint32_t>(kind)];
  }

  std::int64_t integer_of(const GgufValue& value, std::string_view what) const {
    if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
    if (const auto* truth = std::get_if<bool>(&value)) return *truth;
    const auto number = std::get<std::uint64_t>(value);
    if (number > static_cast<std::uint64_t>(INT64_MAX))
      fail(ErrorCode::kInvalidFile, "{}: {} holds {}, beyond 63 bits", path_, what, number);
    return static_cast<std::int64_t>(number);
  }

  GgufTensor tensor(std::size_t index) {
    GgufTensor tensor{
        .name = reader_.string(fmt::format("the name of tensor {}", index)), .type_name = {}, .shape = {}, .data = {}};
    const std::string what = fmt::format("tensor {}", in_quotes(tensor.name));
    const auto dimensions = reader_.number<std::uint32_t>(what);
    if (dimensions == 0 || dimensions > kMostDimensions)
      fail(ErrorCode::kInvalidFile, "{}: {} has {} dimensions, 1 to {} are allowed", path_, what, dimensions,
           kMostDimensions);
    for (std::uint32_t i = 0; i < dimensions; ++i) tensor.shape.push_back(reader_.number<std::uint64_t>(what));
    std::ranges::reverse(tensor.shape);
    tensor.type = reader_.number<std::uint32_t>(what);
    const GgufType* type = find_gguf_type(tensor.type);
    tensor.type_name = type ? std::string(type->name) : fmt::format("type {}", tensor.type);
    return tensor;
  }

  // Finds the tensor's bytes; `start` is where all tensors' data begins.
  void place(GgufTensor& tensor, std::uint64_t offset, std::size_t alignment, std::size_t start) const {
    const std::string what = fmt::format("{}: tensor {}", path_, in_quotes(tensor.name));
    const GgufType* type = find_gguf_type(tensor.type);
    if (!type) return;
    if (tensor.shape.back() % type->block != 0)
      fail(ErrorCode::kInvalidFile, "{}: rows have {} elements, {} needs a multiple of {}", what, tensor.shape.back(),
           type->name, type->block);
    const auto elements = checked_product(tensor.shape, 1);
    const auto bytes = elements ? checked_product(std::array{*elements / type->block}, type->bytes) : std::nullopt;
    if (!bytes) fail(ErrorCode::kInvalidFile, "{}: shape {} overflows", what, shape_text(tensor.shape));
    if (offset % alignment != 0)
      fail(ErrorCode::kInvalidFile, "{}: offset {} is no multiple of the alignment, {}", what, offset, alignment);
    const std::size_t size = start < bytes_.size() ? bytes_.size() - start : 0;
    if (offset > size || *bytes > size - offset)
      fail(ErrorCode::kInvalidFile, "{}: its {} bytes at offset {} leave the {} bytes of data", what, *bytes, offset,
           size);
    tensor.data = *bytes == 0 ? std::span<const std::byte>() : bytes_.subspan(start + offset, *bytes);
  }

  void require_apart(const std::vector<GgufTensor>& tensors) const {
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& tensor : tensors)
      if (!tensor.data.empty()) order.push_back(&tensor);
    std::ranges::sort(order, {}, [](const GgufTensor* tensor) { return tensor->data.data(); });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (order[i - 1]->data.data() + order[i - 1]->data.size() > order[i]->data.data())
        fail(ErrorCode::kInvalidFile, "{}: tensors {} and {} overlap", path_, in_quotes(order[i - 1]->name),
             in_quotes(order[i]->name));
  }

  std::span<const std::byte> bytes_;
  const std::string& path_;
  Reader reader_;
  std::size_t tensor_count_ = 0, entry_count_ = 0;
};

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie");

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path.string()), file_(path) {
  GgufParser parser(file_.bytes(), path_);
  parser.header();
  metadata_ = parser.metadata();
  const std::uint64_t alignment = has("general.alignment") ? count("general.alignment") : kDefaultAlignment;
  if (!std::has_single_bit(alignment) || alignment > (1u << 20))
    fail(ErrorCode::kInvalidFile, "{}: metadata \"general.alignment\" is {}, a power of two up to 2^20 is needed",
         path_, alignment);
  tensors_ = parser.tensors(alignment);
}

const GgufValue* GgufFile::find(std::string_view key) const noexcept {
  const auto found = std::ranges::lower_bound(metadata_, key, {}, &std::pair<std::string, GgufValue>::first);
  return found != metadata_.end() && found->first == key ? &found->second : nullptr;
}

bool GgufFile::has(std::string_view key) const noexcept { return find(key) != nullptr; }

const GgufValue& GgufFile::value(std::string_view key) const {
  const GgufValue* found = find(key);
  if (!found) fail(ErrorCode::kInvalidFile, "{}: metadata {} is missing", path_, in_quotes(key));
  return *found;
}

namespace {

template <typename Wanted>
const Wanted& as(const GgufValue& value, std::string_view kind, const std::string& path, std::string_view key) {
  if (const auto* wanted = std::get_if<Wanted>(&value)) return *wanted;
  fail(ErrorCode::kInvalidFile, "{}: metadata {} is not {}", path, in_quotes(key), kind);
}

}  // namespace

const std::string& GgufFile::text(std::string_view key) const {
  return as<std::string>(value(key), "a string", path_, key);
}

std::uint64_t GgufFile::count(std::string_view key) const {
  const GgufValue& found = value(key);
  if (const auto* integer = std::get_if<std::int64_t>(&found)) {
    if (*integer < 0)
      fail(ErrorCode::kInvalidFile, "{}: metadata {} is {}, 0 or more is needed", path_, in_quotes(key), *integer);
    return static_cast<std::uint64_t>(*integer);
  }
  return as<std::uint64_t>(found, "an integer", path_, key);
}

double GgufFile::number(std::string_view key) const {
  const GgufValue& found = value(key);
  if (const auto* integer = std::get_if<std::int64_t>(&found)) return static_cast<double>(*integer);
  if (const auto* integer = std::get_if<std::uint64_t>(&found)) return static_cast<double>(*integer);
  return as<double>(found, "a number", path_, key);
}

bool GgufFile::flag(std::string_view key) const { return as<bool>(value(key), "a truth value", path_, key); }

const std::vector<std::string>& GgufFile::texts(std::string_view key) const {
  return as<std::vector<std::string>>(value(key), "a list of strings", path_, key);
}

const std::vector<std::int64_t>& GgufFile::integers(std::string_view key) const {
  return as<std::vector<std::int64_t>>(value(key), "a list of integers", path_, key);
}

const std::vector<double>& GgufFile::numbers(std::string_view key) const {
  return as<std::vector<double>>(value(key), "a list of floats", path_, key);
}

}  // namespace lexiscope
