// GGUF files against the values that ggml's own package reads from them, and what damaged ones say.
#include "host/io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "host/io/checkpoint.h"
#include "host/io/embedding_source.h"
#include "host/io/npy.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

std::vector<std::uint32_t> bits_of(const float* values, std::size_t count) {
  std::vector<std::uint32_t> bits(count);
  std::memcpy(bits.data(), values, count * sizeof(float));
  return bits;
}

class GgufTypes : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufTypes, HaveTheBitsThatGgmlReads) {
  const auto checkpoint = open_checkpoint(data_path("gguf/types.gguf"));
  const NpyArray want = read_npy(data_path(std::string("gguf/") + GetParam() + ".npy"));
  const std::size_t rows = want.shape[0], columns = want.shape[1];
  const auto* expected = reinterpret_cast<const float*>(want.data.data());
  const auto got = checkpoint->read(GetParam(), want.shape);
  EXPECT_EQ(bits_of(got.data(), got.size()), bits_of(expected, rows * columns));
  std::vector<float> last(columns);
  checkpoint->read_rows(*checkpoint->find(GetParam()), rows - 1, {last.data(), 1, columns, columns});
  EXPECT_EQ(bits_of(last.data(), columns), bits_of(expected + (rows - 1) * columns, columns));
}

INSTANTIATE_TEST_SUITE_P(Each, GgufTypes,
                         ::testing::Values("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k", "q6_k"),
                         [](const auto& test) { return std::string(test.param); });

TEST(GgufFile, GivesItsMetadataByKind) {
  const GgufFile file(data_path("gguf/types.gguf"));
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.count("test.count"), 7u);
  EXPECT_EQ(file.number("test.negative"), -7);
  EXPECT_EQ(file.number("test.float"), 0.5);
  EXPECT_TRUE(file.flag("test.flag"));
  EXPECT_EQ(file.texts("test.texts"), (std::vector<std::string>{"a", "", "ü"}));
  EXPECT_EQ(file.integers("test.integers"), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(file.numbers("test.floats"), (std::vector<double>{0.5, -1.5}));
  EXPECT_TRUE(file.has("test.flag"));
  EXPECT_FALSE(file.has("test"));
  const auto error = [&](auto&& call) {
    const TemporaryFolder folder;
    return folder.error(ErrorCode::kInvalidFile, call);
  };
  EXPECT_THAT(error([&] { file.text("none"); }), HasSubstr("types.gguf: metadata \"none\" is missing"));
  EXPECT_THAT(error([&] { file.text("test.count"); }), HasSubstr("metadata \"test.count\" is not a string"));
  EXPECT_THAT(error([&] { file.count("test.negative"); }), HasSubstr("\"test.negative\" is -7, 0 or more is needed"));
}

TEST(GgufEmbedding, HasTheTokensOfTheMetadata) {
  const Embedding embedding = load_embedding(data_path("gguf/types.gguf"));
  EXPECT_EQ(embedding.tensor, "token_embd.weight");
  EXPECT_EQ(embedding.stored_dtype, "F32");
  EXPECT_EQ(embedding.matrix.rows, 3u);
  EXPECT_EQ(embedding.matrix.columns, 8u);
  EXPECT_EQ(embedding.tokens, (std::vector<std::string>{"<s>", "a", "▁b"}));
  const Embedding limited = load_embedding(data_path("gguf/types.gguf"), {.tensor = "q4_k", .limit = 2});
  EXPECT_EQ(limited.stored_dtype, "Q4_K");
  EXPECT_EQ(limited.matrix.rows, 2u);
  EXPECT_EQ(limited.tokens.size(), 2u);
}

// A file put together by hand: a header, metadata, one tensor's description, and its data.
struct File {
  std::string magic = "GGUF";
  std::uint64_t version = 3, tensors = 1, entries = 0;
  std::string metadata, name = "w";
  std::vector<std::uint64_t> shape{2, 1};  // as the file has it: the last first
  std::uint64_t dimensions = 2, type = 0, offset = 0;
  std::string more_tensors, data = std::string(8, '\0');

  static std::string text(std::string_view value) { return little_endian(value.size(), 8) + std::string(value); }
  std::string tensor() const {
    std::string bytes = text(name) + little_endian(dimensions, 4);
    for (const std::uint64_t extent : shape) bytes += little_endian(extent, 8);
    return bytes + little_endian(type, 4) + little_endian(offset, 8);
  }
  std::string bytes() const {
    std::string head = magic + little_endian(version, 4) + little_endian(tensors, 8) + little_endian(entries, 8) +
                       metadata + tensor() + more_tensors;
    head.resize((head.size() + 31) / 32 * 32);
    return head + data;
  }
};

TEST(GgufFile, MadeByHandIsRead) {
  const TemporaryFolder folder;
  const GgufFile file(folder.write("x.gguf", File().bytes()));
  ASSERT_EQ(file.tensors().size(), 1u);
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(file.tensors()[0].type_name, "F32");
  EXPECT_EQ(file.tensors()[0].data.size(), 8u);
}

struct Damage {
  const char* message;
  void (*spoil)(File&);
};

class GgufDamage : public ::testing::TestWithParam<Damage> {};

TEST_P(GgufDamage, IsNamed) {
  File file;
  GetParam().spoil(file);
  const TemporaryFolder folder;
  const auto path = folder.write("x.gguf", file.bytes());
  EXPECT_EQ(folder.error(ErrorCode::kInvalidFile,
                         [&] {
                           open_checkpoint(path)->read("w", std::vector<std::size_t>{1, 2});
                         }),
            GetParam().message);
}

std::string entry(std::string_view key, std::uint64_t kind, const std::string& value) {
  return File::text(key) + little_endian(kind, 4) + value;
}

INSTANTIATE_TEST_SUITE_P(
    Each, GgufDamage,
    ::testing::Values(
        Damage{"x.gguf: begins with 0x4c4d4747, a GGUF file begins with 0x46554747 (\"GGUF\")",
               [](File& file) { file.magic = "GGML"; }},
        Damage{"x.gguf: is GGUF version 1; versions 2 and 3, little-endian, are supported",
               [](File& file) { file.version = 1; }},
        Damage{"x.gguf: is GGUF version 50331648 (big-endian); versions 2 and 3, little-endian, are supported",
               [](File& file) { file.version = 3 << 24; }},
        Damage{"x.gguf: the number of tensors at byte 8 is 18446744073709551615, more than the 88 bytes after it can "
               "hold",
               [](File& file) { file.tensors = UINT64_MAX; }},
        Damage{
            "x.gguf: the key of metadata entry 0 at byte 24 is 12884901888, more than the 72 bytes after it can hold",
            [](File& file) {
              file.entries = 1;
              file.metadata = little_endian(std::uint64_t{3} << 32, 8) + "abc" + std::string(13, '\0');
            }},
        Damage{"x.gguf: metadata \"a\" is of kind 13 at byte 33; kinds 0 to 12 are known",
               [](File& file) {
                 file.entries = 1;
                 file.metadata = entry("a", 13, "");
               }},
        Damage{"x.gguf: metadata \"a\" is an array of arrays",
               [](File& file) {
                 file.entries = 1;
                 file.metadata = entry("a", 9, little_endian(9, 4) + little_endian(1, 8));
               }},
        Damage{"x.gguf: metadata \"a\" at byte 37 is 2, a truth value is 0 or 1",
               [](File& file) {
                 file.entries = 1;
                 file.metadata = entry("a", 7, "\2");
               }},
        Damage{"x.gguf: metadata \"a\" is there twice",
               [](File& file) {
                 file.entries = 2;
                 file.metadata = entry("a", 0, "1") + entry("a", 0, "2");
               }},
        Damage{"x.gguf: metadata \"general.alignment\" is 3, a power of two up to 2^20 is needed",
               [](File& file) {
                 file.entries = 1;
                 file.metadata = entry("general.alignment", 4, little_endian(3, 4));
               }},
        Damage{"x.gguf: tensor \"w\" has 0 dimensions, 1 to 4 are allowed", [](File& file) { file.dimensions = 0; }},
        Damage{"x.gguf: tensor \"w\" has 5 dimensions, 1 to 4 are allowed", [](File& file) { file.dimensions = 5; }},
        Damage{"x.gguf: tensor \"w\": shape (4294967296, 4294967296) overflows",
               [](File& file) {
                 file.shape = {std::uint64_t{1} << 32, std::uint64_t{1} << 32};
               }},
        Damage{"x.gguf: tensor \"w\": rows have 2 elements, Q4_0 needs a multiple of 32",
               [](File& file) { file.type = 2; }},
        Damage{"x.gguf: tensor \"w\": offset 4 is no multiple of the alignment, 32",
               [](File& file) { file.offset = 4; }},
        Damage{"x.gguf: tensor \"w\": its 8 bytes at offset 32 leave the 8 bytes of data",
               [](File& file) { file.offset = 32; }},
        Damage{"x.gguf: tensors \"w\" and \"w\" overlap",
               [](File& file) {
                 file.tensors = 2;
                 file.more_tensors = file.tensor();
               }},
        Damage{"x.gguf: tensor \"w\" is there twice",
               [](File& file) {
                 file.tensors = 2;
                 File other = file;
                 other.offset = 32;
                 file.more_tensors = other.tensor();
                 file.data.resize(40);
               }},
        Damage{
            "x.gguf: tensor \"w\" is stored as type 99; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K are supported",
            [](File& file) { file.type = 99; }},
        Damage{"x.gguf: tensor \"w\" is stored as I64; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K are supported",
               [](File& file) {
                 file.type = 27;
                 file.data.resize(16);
               }},
        Damage{"x.gguf: holds no tensor \"w\"; one of shape (1, 2) is needed", [](File& file) { file.name = "v"; }},
        Damage{"x.gguf: tensor \"w\" has shape (2, 1), (1, 2) is needed",
               [](File& file) {
                 file.shape = {1, 2};
               }},
        Damage{"x.gguf: tensor \"w\" has nan in row 0, column 1",
               [](File& file) { file.data = little_endian(0, 4) + little_endian(0x7fc00000, 4); }}));

// Cut anywhere it is an error, never a crash.
TEST(GgufFile, CutShortIsAnError) {
  File file;
  file.entries = 2;
  file.metadata = entry("a", 9, little_endian(8, 4) + little_endian(2, 8) + File::text("x") + File::text("yz")) +
                  entry("b", 12, std::string(8, '\1'));
  const std::string bytes = file.bytes();
  const TemporaryFolder folder;
  EXPECT_NO_THROW(GgufFile(folder.write("x.gguf", bytes)));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(GgufFile(folder.write("x.gguf", bytes.substr(0, size))), Error) << size;
}

// A byte changed anywhere is an error or another valid file, never a crash.
TEST(GgufFile, WithAChangedByteIsReadOrRefused) {
  File file;
  file.entries = 1;
  file.metadata = entry("a", 9, little_endian(8, 4) + little_endian(2, 8) + File::text("x") + File::text("yz"));
  const std::string bytes = file.bytes();
  const TemporaryFolder folder;
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (const int change : {1, 0x80, 0xff}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      const auto path = folder.write("x.gguf", damaged);
      try {
        open_checkpoint(path)->read("w", std::vector<std::size_t>{1, 2});
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalidFile) << error.what();
      }
    }
}

}  // namespace
}  // namespace lexiscope::testing
