// The safetensors format: the JSON header is checked against the file before any tensor is handed out, by the rules of
// the format's reference implementation (every byte of the data belongs to exactly one tensor).
#include "host/io/safetensors.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"

namespace lexiscope {

using nlohmann::json;

namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kLongestHeader = 100'000'000;  // the reference implementation's limit
constexpr std::string_view kIndexSuffix = ".index.json";

// Bits an element has; the format also holds types narrower than a byte. 0 for an unknown type.
std::size_t bits_of(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::size_t> kTypes[] = {
      {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"BOOL", 8},  {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8},
      {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F16", 16},    {"BF16", 16}, {"I16", 16}, {"U16", 16}, {"F32", 32},
      {"I32", 32},    {"U32", 32},    {"F64", 64},    {"I64", 64},  {"U64", 64}, {"C64", 64}};
  for (const auto& [name, bits] : kTypes)
    if (name == dtype) return bits;
  return 0;
}

std::size_t read_header_length(std::span<const std::byte> bytes, const std::string& path) {
  if (bytes.size() < kLengthBytes)
    fail(ErrorCode::kInvalidFile, "{}: is cut short: {} bytes, the header's length alone has {}", path, bytes.size(),
         kLengthBytes);
  std::size_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<std::size_t>(bytes[i]) << (8 * i);
  if (length > kLongestHeader)
    fail(ErrorCode::kInvalidFile, "{}: the header's length is {} bytes, at most {} are allowed", path, length,
         kLongestHeader);
  if (length > bytes.size() - kLengthBytes)
    fail(ErrorCode::kInvalidFile, "{}: is cut short: the header's length is {} bytes, the file has {} after it", path,
         length, bytes.size() - kLengthBytes);
  return length;
}

SafetensorsEntry read_entry(const std::string& name, const json& description, std::span<const std::byte> data,
                            const std::string& path) {
  const std::string where = fmt::format("{}: tensor {}", path, in_quotes(name));
  if (!description.is_object())
    fail(ErrorCode::kInvalidFile, "{} is {}, an object is needed", where, value_text(description));
  SafetensorsEntry entry{.name = name,
                         .stored_dtype = string_field(description, "dtype", where),
                         .shape = counts_field(description, "shape", where),
                         .data = {},
                         .file = {}};
  const std::size_t bits = bits_of(entry.stored_dtype);
  if (bits == 0)
    fail(ErrorCode::kInvalidFile, "{}: \"dtype\" is {}, which is unknown", where, in_quotes(entry.stored_dtype));
  if (entry.shape.size() > kMaxFileRank)
    fail(ErrorCode::kInvalidFile, "{}: \"shape\" has {} dimensions, at most {} are allowed", where, entry.shape.size(),
         kMaxFileRank);
  const auto needed_bits = checked_product(entry.shape, bits);
  if (!needed_bits) fail(ErrorCode::kInvalidFile, "{}: \"shape\" {} overflows", where, shape_text(entry.shape));
  const auto offsets = counts_field(description, "data_offsets", where);
  if (offsets.size() != 2)
    fail(ErrorCode::kInvalidFile, "{}: \"data_offsets\" holds {} numbers, 2 are needed", where, offsets.size());
  if (offsets[0] > offsets[1] || offsets[1] > data.size())
    fail(ErrorCode::kInvalidFile, "{}: \"data_offsets\" [{}, {}] leave the {} bytes of data", where, offsets[0],
         offsets[1], data.size());
  entry.data = data.subspan(offsets[0], offsets[1] - offsets[0]);
  if (*needed_bits % 8 != 0 || *needed_bits / 8 != entry.data.size())
    fail(ErrorCode::kInvalidFile, "{}: \"shape\" {} of {} needs {} bits, \"data_offsets\" [{}, {}] hold {}", where,
         shape_text(entry.shape), entry.stored_dtype, *needed_bits, offsets[0], offsets[1], entry.data.size() * 8);
  return entry;
}

// The tensors in order of their data must follow each other without overlap or gap, to the end of the file.
void require_all_covered(const std::vector<SafetensorsEntry>& entries, std::span<const std::byte> data,
                         const std::string& path) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  const auto first = [&](const SafetensorsEntry* entry) {
    return static_cast<std::size_t>(entry->data.data() - data.data());
  };
  std::sort(order.begin(), order.end(), [&](const auto* a, const auto* b) {
    return std::pair(first(a), a->data.size()) < std::pair(first(b), b->data.size());
  });
  std::size_t end = 0;
  for (const SafetensorsEntry* entry : order) {
    if (first(entry) < end)
      fail(ErrorCode::kInvalidFile, "{}: tensor {} begins at byte {} of the data, inside another that ends at {}", path,
           in_quotes(entry->name), first(entry), end);
    if (first(entry) > end)
      fail(ErrorCode::kInvalidFile, "{}: bytes {} to {} of the data belong to no tensor", path, end, first(entry));
    end += entry->data.size();
  }
  if (end != data.size())
    fail(ErrorCode::kInvalidFile, "{}: bytes {} to {} of the data belong to no tensor", path, end, data.size());
}

std::vector<SafetensorsEntry> read_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string name = path.string();
  const std::size_t length = read_header_length(file.bytes(), name);
  const auto data = file.bytes().subspan(kLengthBytes + length);
  const json header = parse_json(file.bytes().subspan(kLengthBytes, length), name + ": the header");
  if (!header.is_object())
    fail(ErrorCode::kInvalidFile, "{}: the header is {}, an object is needed", name, value_text(header));
  std::vector<SafetensorsEntry> entries;
  for (const auto& [key, description] : header.items()) {
    if (key == "__metadata__") continue;
    entries.push_back(read_entry(key, description, data, name));
    entries.back().file = file;
  }
  require_all_covered(entries, data, name);
  return entries;
}

SafetensorsEntry take(const std::vector<SafetensorsEntry>& sorted, const std::string& name, const std::string& shard,
                      const std::string& index) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), name,
                                      [](const auto& entry, const auto& key) { return entry.name < key; });
  if (found == sorted.end() || found->name != name)
    fail(ErrorCode::kInvalidFile, "{}: \"weight_map\" places tensor {} in {}, which does not hold it", index,
         in_quotes(name), shard);
  return *found;
}

std::vector<SafetensorsEntry> read_sharded(const std::filesystem::path& index) {
  const json document = read_json_object(index);
  const std::string where = index.string();
  const json& weight_map = object_field(document, "weight_map", where);
  std::map<std::string, std::vector<SafetensorsEntry>> shards;
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : weight_map.items()) {
    const std::string& shard = file_name_field(weight_map, name.c_str(), where + ": \"weight_map\"");
    if (!shards.count(shard)) shards[shard] = read_file(index.parent_path() / shard);
    entries.push_back(take(shards[shard], name, shard, where));
  }
  return entries;
}

}  // namespace

DType SafetensorsEntry::dtype() const {
  constexpr std::pair<std::string_view, DType> kTypes[] = {
      {"F64", DType::f64}, {"F32", DType::f32}, {"F16", DType::f16}, {"BF16", DType::bf16},
      {"I64", DType::i64}, {"I32", DType::i32}, {"U8", DType::u8}};
  for (const auto& [stored, type] : kTypes)
    if (stored == stored_dtype) return type;
  fail(ErrorCode::kInvalidFile, "{}: tensor {} is {}; F64, F32, F16, BF16, I64, I32 and U8 are supported",
       file.path().string(), in_quotes(name), stored_dtype);
}

// JSON objects come sorted by key, so the entries are.
Safetensors::Safetensors(const std::filesystem::path& path)
    : entries_(path.string().ends_with(kIndexSuffix) ? read_sharded(path) : read_file(path)) {}

const SafetensorsEntry* Safetensors::find(std::string_view name) const noexcept {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const SafetensorsEntry& entry, std::string_view key) { return entry.name < key; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

}  // namespace lexiscope
