// Safetensors files: the reference implementation's own are read, malformed ones are refused with their reason.
#include "host/io/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "tests/support/safetensors.h"

namespace lexiscope::testing {
namespace {

const char* const kGolden = "safetensors/every_type.safetensors";

TEST(Safetensors, OfEveryTypeAreRead) {
  const Safetensors tensors(data_path(kGolden));
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : tensors.entries()) names.push_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"bool", "empty", "matrix.BF16", "matrix.F16", "matrix.F32", "matrix.F64",
                                             "matrix.I32", "matrix.I64", "matrix.U8", "scalar"}));
  const std::pair<const char*, DType> types[] = {{"BF16", DType::bf16}, {"F16", DType::f16}, {"F32", DType::f32},
                                                 {"F64", DType::f64},   {"I32", DType::i32}, {"I64", DType::i64},
                                                 {"U8", DType::u8}};
  for (const auto& [stored, type] : types) {
    const SafetensorsEntry* entry = tensors.find(std::string("matrix.") + stored);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->stored_dtype, stored);
    EXPECT_EQ(entry->dtype(), type);
    EXPECT_EQ(entry->shape, (std::vector<std::size_t>{3, 2}));
    EXPECT_EQ(entry->data.size(), 6 * size_of(type));
    EXPECT_EQ(entry->file.path(), data_path(kGolden));
  }
  float last = 0;
  std::memcpy(&last, tensors.find("matrix.F32")->data.data() + 20, sizeof last);
  EXPECT_EQ(last, 0.5f);
  EXPECT_TRUE(tensors.find("scalar")->shape.empty());
  EXPECT_TRUE(tensors.find("empty")->data.empty());
  EXPECT_EQ(tensors.find("matrix"), nullptr);
  EXPECT_EQ(tensors.find("zzz"), nullptr);
}

TEST(Safetensors, TypesThatTensorsLackAreNamedWhenAskedFor) {
  const TemporaryFolder folder;
  const Safetensors tensors(data_path(kGolden));
  EXPECT_EQ(
      folder.error(ErrorCode::kInvalidFile, [&] { tensors.find("bool")->dtype(); }),
      data_path(kGolden).string() + ": tensor \"bool\" is BOOL; F64, F32, F16, BF16, I64, I32 and U8 are supported");
}

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype": ")" + dtype + R"(", "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}";
}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a": )" + tensor(dtype, shape, offsets) + "}";
}
std::string two(const std::string& first, const std::string& second) {
  return R"({"a": )" + tensor("U8", "[4]", first) + R"(, "b": )" + tensor("U8", "[4]", second) + "}";
}

TEST(MalformedSafetensors, AreRefusedWithTheReason) {
  const std::string data(8, '\0');
  const auto file = [&](const std::string& header) { return safetensors(header, data); };
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += '[';
  const std::tuple<const char*, std::string, const char*> files[] = {
      {"empty", "", "x: is cut short: 0 bytes, the header's length alone has 8"},
      {"header beyond the limit", little_endian(100'000'001, 8) + "{}",
       "x: the header's length is 100000001 bytes, at most 100000000 are allowed"},
      {"header of 2^64 - 1", little_endian(UINT64_MAX, 8) + "{}",
       "x: the header's length is 18446744073709551615 bytes, at most 100000000 are allowed"},
      {"header beyond the file", little_endian(3, 8) + "{}",
       "x: is cut short: the header's length is 3 bytes, the file has 2 after it"},
      {"no header", file(""), "x: the header: is not valid JSON at byte 1 of 0"},
      {"not JSON", file("{a}"), "x: the header: is not valid JSON at byte 2 of 3"},
      {"huge number", file("{\"a\": 1e999}"), "x: the header: has a number beyond the range of doubles"},
      {"deep", file(deep), "x: the header: is nested deeper than 64"},
      {"a list", file("[]"), "x: the header is a list of 0, an object is needed"},
      {"a name twice", file(R"({"a": 1, "a": 2})"), "x: the header: has \"a\" twice"},
      {"no object", file(R"({"a": 1})"), "x: tensor \"a\" is 1, an object is needed"},
      {"no dtype", file(R"({"a": {}})"), "x: tensor \"a\": \"dtype\" is missing"},
      {"dtype is no string", file(R"({"a": {"dtype": 4, "shape": []}})"),
       "x: tensor \"a\": \"dtype\" is 4, a string is needed"},
      {"unknown dtype", file(one("F7", "[2]", "[0, 8]")), "x: tensor \"a\": \"dtype\" is \"F7\", which is unknown"},
      {"negative extent", file(one("F32", "[-2]", "[0, 8]")),
       "x: tensor \"a\": \"shape\" holds -2, integers of 0 or more are needed"},
      {"fractional extent", file(one("F32", "[2.0]", "[0, 8]")),
       "x: tensor \"a\": \"shape\" holds 2.0, integers of 0 or more are needed"},
      {"shape is no list", file(one("F32", "2", "[0, 8]")), "x: tensor \"a\": \"shape\" is 2, a list is needed"},
      {"shape overflows", file(one("F32", "[4294967296, 4294967296]", "[0, 8]")),
       "x: tensor \"a\": \"shape\" (4294967296, 4294967296) overflows"},
      {"size in bits overflows", file(one("F32", "[576460752303423490]", "[0, 8]")),
       "x: tensor \"a\": \"shape\" (576460752303423490,) overflows"},
      {"one offset", file(one("F32", "[2]", "[0]")), "x: tensor \"a\": \"data_offsets\" holds 1 numbers, 2 are needed"},
      {"offsets backwards", file(one("F32", "[2]", "[8, 0]")),
       "x: tensor \"a\": \"data_offsets\" [8, 0] leave the 8 bytes of data"},
      {"offsets beyond the data", file(one("F32", "[2]", "[4, 12]")),
       "x: tensor \"a\": \"data_offsets\" [4, 12] leave the 8 bytes of data"},
      {"offsets of 2^64 - 1", file(one("F32", "[2]", "[0, 18446744073709551615]")),
       "x: tensor \"a\": \"data_offsets\" [0, 18446744073709551615] leave the 8 bytes of data"},
      {"shape of other size", file(one("F32", "[3]", "[0, 8]")),
       "x: tensor \"a\": \"shape\" (3,) of F32 needs 96 bits, \"data_offsets\" [0, 8] hold 64"},
      {"half a byte", file(one("F4", "[1]", "[0, 0]")),
       "x: tensor \"a\": \"shape\" (1,) of F4 needs 4 bits, \"data_offsets\" [0, 0] hold 0"},
      {"overlap", file(two("[0, 4]", "[2, 6]")),
       "x: tensor \"b\" begins at byte 2 of the data, inside another that ends at 4"},
      {"same bytes", file(two("[0, 4]", "[0, 4]")),
       "x: tensor \"b\" begins at byte 0 of the data, inside another that ends at 4"},
      {"bytes before", file(one("F32", "[1]", "[4, 8]")), "x: bytes 0 to 4 of the data belong to no tensor"},
      {"bytes after", file(one("F32", "[1]", "[0, 4]")), "x: bytes 4 to 8 of the data belong to no tensor"}};
  const TemporaryFolder folder;
  for (const auto& [what, bytes, message] : files) {
    const auto path = folder.write("x", bytes);
    EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&] { Safetensors{path}; }), message) << what;
  }
}

TEST(MalformedSafetensors, CutAnywhereAreRefused) {
  const TemporaryFolder folder;
  const std::string whole = read_bytes(data_path(kGolden));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto path = folder.write("x", whole.substr(0, size));
    EXPECT_NE(folder.error(ErrorCode::kInvalidFile, [&] { Safetensors{path}; }), "no error") << size;
  }
}

// With any bit of the length or header flipped the file is read or refused; sanitizers watch that nothing else happens.
TEST(MalformedSafetensors, WithAnyBitFlippedAreReadOrRefused) {
  const TemporaryFolder folder;
  const std::string whole = one_tensor("a", 2, 2, {1, 2, 3, 4});
  for (std::size_t bit = 0; bit < 8 * (whole.size() - 16); ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const auto path = folder.write("x", bytes);
    try {
      const Safetensors tensors(path);
      for (const SafetensorsEntry& entry : tensors.entries()) EXPECT_EQ(entry.data.size(), 16u);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidFile);
    }
  }
}

class ShardedModel : public ::testing::Test {
 protected:
  ShardedModel() {
    folder_.write("first.safetensors", one_tensor("a", 1, 2, {1, 2}));
    folder_.write("second.safetensors", one_tensor("b", 1, 2, {3, 4}));
  }
  std::filesystem::path index(const std::string& weight_map) const {
    return folder_.write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": )" + weight_map + "}");
  }
  std::string error(const std::string& weight_map) const {
    return folder_.error(ErrorCode::kInvalidFile, [&] { Safetensors{index(weight_map)}; });
  }

  TemporaryFolder folder_;
};

TEST_F(ShardedModel, IsReadThroughItsIndex) {
  const Safetensors tensors(index(R"({"b": "second.safetensors", "a": "first.safetensors"})"));
  ASSERT_EQ(tensors.entries().size(), 2u);
  EXPECT_EQ(tensors.find("a")->file.path(), folder_ / "first.safetensors");
  EXPECT_EQ(tensors.find("b")->file.path(), folder_ / "second.safetensors");
  EXPECT_EQ(tensors.find("b")->data[0], std::as_bytes(std::span("\0\0\x40\x40", 4))[0]);
}

TEST_F(ShardedModel, NamesWhatIsWrongInItsIndex) {
  const std::string index_name = "model.safetensors.index.json: \"weight_map\"";
  EXPECT_EQ(error("[]"), index_name + " is a list of 0, an object is needed");
  EXPECT_EQ(error(R"({"a": 1})"), index_name + ": \"a\" is 1, a string is needed");
  EXPECT_EQ(error(R"({"a": "none.safetensors"})"), "none.safetensors: cannot be opened: No such file or directory");
  EXPECT_EQ(error(R"({"a": "second.safetensors"})"),
            index_name + " places tensor \"a\" in second.safetensors, which does not hold it");
  for (const char* outside : {"../first.safetensors", "/etc/passwd", "..", ""})
    EXPECT_EQ(error(R"({"a": ")" + std::string(outside) + "\"}"),
              index_name + ": \"" + outside + "\" is not the name of a file beside it");
}

}  // namespace
}  // namespace lexiscope::testing
