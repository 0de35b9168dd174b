// .npy files: NumPy's own are read, malformed ones are refused with their reason, written ones come back.
#include "host/io/npy.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using Shape = std::vector<std::size_t>;

// The value that the goldens have at place k in C order.
double golden_value(DType dtype, std::size_t k) {
  const double at = static_cast<double>(k);
  if (dtype == DType::u8) return at;
  return dtype == DType::i32 || dtype == DType::i64 ? at - 5 : at / 2 - 2;
}

double value_at(const NpyArray& array, std::size_t index) {
  const std::byte* at = array.data.data() + index * size_of(array.dtype);
  const auto load = [at]<typename Element>(Element element) {
    std::memcpy(&element, at, sizeof element);
    return static_cast<double>(element);
  };
  switch (array.dtype) {
    case DType::f32:
      return load(0.0f);
    case DType::f64:
      return load(0.0);
    case DType::i32:
      return load(std::int32_t{0});
    case DType::i64:
      return load(std::int64_t{0});
    case DType::u8:
      return load(std::uint8_t{0});
    default:
      return NAN;
  }
}

class NumPyFile : public ::testing::TestWithParam<std::tuple<std::pair<const char*, DType>, bool>> {};

TEST_P(NumPyFile, IsReadAsItLies) {
  const auto [type, fortran] = GetParam();
  const NpyArray array = read_npy(data_path(std::string("npy/") + (fortran ? "fortran_" : "c_") + type.first + ".npy"));
  EXPECT_EQ(array.dtype, type.second);
  EXPECT_EQ(array.shape, (Shape{3, 4}));
  EXPECT_EQ(array.fortran_order, fortran);
  ASSERT_EQ(array.data.size(), 12 * size_of(type.second));
  if (type.second == DType::f16) return;  // its values are tested where they are converted
  for (std::size_t row = 0; row < 3; ++row)
    for (std::size_t column = 0; column < 4; ++column)
      EXPECT_EQ(value_at(array, fortran ? column * 3 + row : row * 4 + column),
                golden_value(type.second, row * 4 + column));
}

INSTANTIATE_TEST_SUITE_P(EveryTypeAndOrder, NumPyFile,
                         ::testing::Combine(::testing::Values(std::pair("f2", DType::f16), std::pair("f4", DType::f32),
                                                              std::pair("f8", DType::f64), std::pair("i4", DType::i32),
                                                              std::pair("i8", DType::i64), std::pair("u1", DType::u8)),
                                            ::testing::Bool()));

TEST(NumPyFiles, OfEveryRankAndVersionAreRead) {
  const std::pair<const char*, Shape> files[] = {
      {"scalar", {}},       {"vector", {5}},        {"cube", {2, 3, 4}},   {"fortran_cube", {2, 3, 4}},
      {"no_rows", {0, 3}},  {"no_columns", {3, 0}}, {"version_1", {3, 4}}, {"version_2", {3, 4}},
      {"version_3", {3, 4}}};
  for (const auto& [name, shape] : files) {
    const NpyArray array = read_npy(data_path(std::string("npy/") + name + ".npy"));
    EXPECT_EQ(array.shape, shape) << name;
    if (!array.data.empty()) {
      EXPECT_EQ(value_at(array, 0), -2) << name;
    }
    EXPECT_EQ(array.fortran_order, std::string(name) == "fortran_cube");
  }
}

TEST(NumPyFiles, OfOtherTypesAreRefusedByName) {
  const std::pair<const char*, const char*> files[] = {
      {"big_endian", "dtype \">f4\" is not supported; <f2, <f4, <f8, <i4, <i8 and |u1 are"},
      {"complex", "dtype \"<c8\" is not supported; <f2, <f4, <f8, <i4, <i8 and |u1 are"},
      {"bool", "dtype \"|b1\" is not supported; <f2, <f4, <f8, <i4, <i8 and |u1 are"},
      {"text", "dtype \"<U2\" is not supported; <f2, <f4, <f8, <i4, <i8 and |u1 are"},
      {"object", "dtype \"|O\" is not supported; <f2, <f4, <f8, <i4, <i8 and |u1 are"},
      {"record", "records are not supported: \"descr\" is \"[('x', '<f4'), ('y', '<i4')]\""}};
  for (const auto& [name, message] : files) {
    const auto path = data_path(std::string("npy/") + name + ".npy");
    EXPECT_EQ(TemporaryFolder().error(ErrorCode::kInvalidFile, [&] { read_npy(path); }),
              path.string() + ": " + message);
  }
}

// A version 1.0 file with this dictionary and so many bytes of data.
std::string npy(const std::string& dictionary, std::size_t data_bytes) {
  return std::string("\x93NUMPY\x01\x00", 8) + little_endian(dictionary.size(), 2) + dictionary +
         std::string(data_bytes, '\0');
}

std::string npy_of_shape(const std::string& shape, std::size_t data_bytes) {
  return npy("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }", data_bytes);
}

// A shape of `rank` extents of 1.
std::string ones(int rank) {
  std::string shape = "(";
  for (int i = 0; i < rank; ++i) shape += "1,";
  return shape + ")";
}

TEST(MalformedNpy, IsRefusedWithItsReason) {
  const std::tuple<const char*, std::string, const char*> files[] = {
      {"empty", "", "is empty, not an .npy file"},
      {"other format", "PK\x03\x04zip", "is not an .npy file: it begins with \"PK\\x03\\x04zi\""},
      {"version 4", std::string("\x93NUMPY\x04\x00", 8), ".npy version 4.0 is unknown; 1.0, 2.0 and 3.0 can be read"},
      {"version 1.1", std::string("\x93NUMPY\x01\x01", 8), ".npy version 1.1 is unknown; 1.0, 2.0 and 3.0 can be read"},
      {"short preamble", std::string("\x93NUMPY\x02\x00\x10", 9), "is cut short: 9 bytes, the .npy preamble has 12"},
      {"long header", std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13),
       "is cut short: the header's length is 4294967295 bytes, the file has 1 after it"},
      {"no dictionary", npy("", 0), "the header is malformed at its byte 0: '{' is needed, the end is there"},
      {"open dictionary", npy("{'descr': '<f4'", 0),
       "the header is malformed at its byte 15: ',' is needed, the end is there"},
      {"text after it", npy("{} x", 0), "the header is malformed at its byte 3: the end is needed, \"x\" is there"},
      {"no shape", npy("{'descr': '<f4', 'fortran_order': True}", 0), "the header lacks \"shape\""},
      {"key twice", npy("{'shape': (), 'shape': ()}", 0), "the header has \"shape\" twice"},
      {"unknown key", npy("{'a\nb': 1}", 0), "the header has an unknown key \"a\\x0ab\""},
      {"order", npy("{'fortran_order': 1}", 0),
       "the header is malformed at its byte 18: True or False is needed, \"1}\" is there"},
      {"open string", npy("{'descr", 0),
       "the header is malformed at its byte 1: a string that ends is needed, \"'descr\" is there"},
      {"negative extent", npy_of_shape("(-1, 2)", 8),
       "the header is malformed at its byte 51: an extent of 0 or more is needed, \"-1, 2), }\" is there"},
      {"number in brackets", npy_of_shape("(3)", 12),
       "the header is malformed at its byte 53: a tuple is needed, \", }\" is there"},
      {"nested", npy_of_shape("((3,),)", 12),
       "the header is malformed at its byte 51: an extent of 0 or more is needed, \"(3,),), }\" is there"},
      {"extent", npy_of_shape("(18446744073709551616,)", 0),
       "shape has an extent beyond 64 bits: \"18446744073709551616\""},
      {"overflow", npy_of_shape("(4294967296, 4294967296)", 0), "shape (4294967296, 4294967296) overflows"},
      {"overflow by the element", npy_of_shape("(4611686018427387904,)", 0), "shape (4611686018427387904,) overflows"},
      {"rank", npy_of_shape(ones(33), 4), "shape has more than 32 dimensions"},
      {"too little data", npy_of_shape("(3, 4)", 47), "shape (3, 4) of <f4 needs 48 bytes of data, the file has 47"},
      {"too much data", npy_of_shape("(3, 4)", 49), "shape (3, 4) of <f4 needs 48 bytes of data, the file has 49"},
      {"empty with data", npy_of_shape("(0, 9223372036854775808, 4)", 1),
       "shape (0, 9223372036854775808, 4) of <f4 needs 0 bytes of data, the file has 1"}};
  const TemporaryFolder folder;
  for (const auto& [what, bytes, message] : files) {
    const auto path = folder.write("x.npy", bytes);
    EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&] { read_npy(path); }), std::string("x.npy: ") + message) << what;
  }
}

TEST(MalformedNpy, CutAnywhereIsRefused) {
  const TemporaryFolder folder;
  for (const char* name : {"c_f4", "fortran_f8", "version_2", "scalar"}) {
    const std::string whole = read_bytes(data_path(std::string("npy/") + name + ".npy"));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const auto path = folder.write("x.npy", whole.substr(0, size));
      EXPECT_NE(folder.error(ErrorCode::kInvalidFile, [&] { read_npy(path); }), "no error") << name << " at " << size;
    }
  }
}

// With any bit of the header flipped the file is read or refused; sanitizers watch that nothing else happens.
TEST(MalformedNpy, WithAnyBitFlippedIsReadOrRefused) {
  const TemporaryFolder folder;
  const std::string whole = read_bytes(data_path("npy/c_f4.npy"));
  for (std::size_t bit = 0; bit < 8 * 80; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const auto path = folder.write("x.npy", bytes);
    try {
      const NpyArray array = read_npy(path);
      EXPECT_LE(array.data.size(), whole.size());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidFile);
    }
  }
}

TEST(UnreadableFiles, AreRefusedWithTheReason) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  const std::pair<std::filesystem::path, std::string> files[] = {
      {folder / "none.npy", "none.npy: cannot be opened: No such file or directory"},
      {folder.path(), folder.path().string() + ": is a folder, not a file"},
      {folder / "fifo", "fifo: is a FIFO, not a file"},
      {"/dev/zero", "/dev/zero: is a device or socket, not a file"}};
  for (const auto& [path, message] : files)
    EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&file = path] { read_npy(file); }), message);
}

TEST(UnreadableFiles, IncludeThoseWithoutPermission) {
  const TemporaryFolder folder;
  const auto path = folder.write("x.npy", "");
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(path, std::filesystem::perms::none);
  const uid_t user = geteuid();
  const uid_t nobody = 65534;  // root may read anything
  ASSERT_EQ(seteuid(user == 0 ? nobody : user), 0);
  const std::string message = folder.error(ErrorCode::kInvalidFile, [&] { read_npy(path); });
  ASSERT_EQ(seteuid(user), 0);
  EXPECT_EQ(message, "x.npy: cannot be opened: Permission denied");
}

TEST(NpyArrayValues, NeedTheTypeRankOrderAndAlignment) {
  const TemporaryFolder folder;
  const auto error = [&](const std::filesystem::path& path, std::size_t rank) {
    return folder.error(ErrorCode::kInvalidFile, [&] { read_npy(path).values<float>(rank); });
  };
  std::filesystem::copy(data_path("npy"), folder.path());
  EXPECT_EQ(read_npy(folder / "c_f4.npy").values<float>(2)[11], 3.5f);
  EXPECT_EQ(error(folder / "c_f8.npy", 2), "c_f8.npy: is f64 of shape (3, 4), f32 of rank 2 is needed");
  EXPECT_EQ(error(folder / "c_f4.npy", 1), "c_f4.npy: is f32 of shape (3, 4), f32 of rank 1 is needed");
  EXPECT_EQ(error(folder / "fortran_f4.npy", 2), "fortran_f4.npy: is in Fortran order, C order is needed");
  const auto odd = folder.write("odd.npy", npy_of_shape("(1,)", 4));
  EXPECT_EQ(error(odd, 1), "odd.npy: the data begins at byte 67, which is no multiple of the element's 4 bytes");
}

class NpyRoundTrip : public ::testing::TestWithParam<std::tuple<DType, Shape, std::size_t>> {};

TEST_P(NpyRoundTrip, GivesTheSameArray) {
  const auto [dtype, row_shape, rows] = GetParam();
  std::size_t bytes = rows * size_of(dtype);
  for (const std::size_t extent : row_shape) bytes *= extent;
  std::string data(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<char>(i * 7);
  const TemporaryFolder folder;
  NpyWriter writer(folder / "x.npy", dtype, row_shape);
  for (std::size_t first = 0; first < bytes; first += 5)  // cut across rows and elements
    writer.append(std::as_bytes(std::span(data).subspan(first, std::min<std::size_t>(5, bytes - first))));
  EXPECT_FALSE(std::filesystem::exists(folder / "x.npy"));
  const NpyWriter::Result result = writer.finish();
  EXPECT_FALSE(std::filesystem::exists(folder / "x.npy.partial"));

  Shape shape{rows};
  shape.insert(shape.end(), row_shape.begin(), row_shape.end());
  const NpyArray array = read_npy(folder / "x.npy");
  EXPECT_EQ(result.shape, shape);
  EXPECT_EQ(array.shape, shape);
  EXPECT_EQ(array.dtype, dtype);
  EXPECT_FALSE(array.fortran_order);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(array.data.data()), array.data.size()), data);
  EXPECT_EQ(static_cast<std::size_t>(array.data.data() - array.file.bytes().data()) % 64, 0u);
  const std::string file = read_bytes(folder / "x.npy");
  EXPECT_EQ(result.checksum, XXH3_64bits(file.data(), file.size()));
  EXPECT_EQ(result.checksum, checksum_file(folder / "x.npy"));
}

INSTANTIATE_TEST_SUITE_P(
    TypesAndShapes, NpyRoundTrip,
    ::testing::Combine(::testing::Values(DType::f16, DType::f32, DType::f64, DType::i32, DType::i64, DType::u8),
                       ::testing::Values(Shape{}, Shape{3}, Shape{2, 3, 1}), ::testing::Values(0, 1, 33)));

TEST(NpyWriter, WritesTheHeaderThatNumPyReads) {
  const TemporaryFolder folder;
  NpyWriter writer(folder / "x.npy", DType::f32, {2});
  writer.append(std::span<const float>(std::vector<float>{1, 2, 3, 4}));
  writer.finish();
  const std::string file = read_bytes(folder / "x.npy");
  ASSERT_EQ(file.size(), 128 + 16u);
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
  header.resize(117, ' ');
  EXPECT_EQ(file.substr(0, 128), std::string("\x93NUMPY\x01\x00", 8) + little_endian(118, 2) + header + "\n");
}

TEST(NpyWriter, HandlesMoreThanItsBuffers) {
  const TemporaryFolder folder;
  const std::vector<double> row(100'003, 1.5);
  NpyWriter writer(folder / "x.npy", DType::f64, {row.size()});
  for (int i = 0; i < 3; ++i) {
    writer.append(std::span(row).first(7));
    writer.append(std::span(row).subspan(7));
  }
  const std::uint64_t checksum = writer.finish().checksum;
  EXPECT_EQ(checksum, checksum_file(folder / "x.npy"));
  const NpyArray array = read_npy(folder / "x.npy");
  EXPECT_EQ(std::count(array.values<double>(2), array.values<double>(2) + 300'009, 1.5), 300'009);
}

TEST(NpyWriter, WithoutFinishLeavesWhatWasThere) {
  const TemporaryFolder folder;
  folder.write("x.npy", "old");
  {
    NpyWriter writer(folder / "x.npy", DType::f32, {2});
    writer.append(std::span<const float>(std::vector<float>{1, 2}));
    EXPECT_TRUE(std::filesystem::exists(folder / "x.npy.partial"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "x.npy.partial"));
  EXPECT_EQ(read_bytes(folder / "x.npy"), "old");
}

TEST(NpyWriter, NamesWhatIsWrongWithItsArguments) {
  const TemporaryFolder folder;
  const auto make = [&](DType dtype, Shape row_shape) {
    return folder.error(ErrorCode::kInvalidArgument, [&] { NpyWriter(folder / "x.npy", dtype, row_shape); });
  };
  EXPECT_EQ(make(DType::bf16, {2}), "npy: the format has no bf16");
  EXPECT_EQ(make(DType::f32, {2, 0}), "x.npy: rows of shape (2, 0) hold no elements or overflow");
  EXPECT_EQ(make(DType::f32, {SIZE_MAX, 2}),
            "x.npy: rows of shape (18446744073709551615, 2) hold no elements or overflow");
  EXPECT_EQ(make(DType::f32, Shape(32, 1)), "x.npy: rank 33 is more than 32");
  EXPECT_EQ(folder.error(ErrorCode::kInvalidArgument,
                         [&] {
                           NpyWriter writer(folder / "x.npy", DType::f32, {2});
                           writer.append(std::span<const float>(std::vector<float>{1, 2, 3}));
                           writer.finish();
                         }),
            "x.npy: 12 bytes are no whole number of rows of 8 bytes");
  EXPECT_EQ(folder.error(ErrorCode::kInputOutput, [&] { NpyWriter(folder / "none/x.npy", DType::f32, {}); }),
            "none/x.npy.partial: cannot be created: No such file or directory");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(NpyWriter, OnAFullDiskSaysSoAndClearsAway) {
  const TemporaryFolder folder;
  const std::vector<float> row(1 << 18);
  {
    const FullDisk disk(3 << 20);
    NpyWriter writer(folder / "x.npy", DType::f32, {row.size()});
    EXPECT_EQ(folder.error(ErrorCode::kInputOutput,
                           [&] {
                             for (int i = 0; i < 4; ++i) writer.append(std::span(row));
                           }),
              "x.npy: writing failed after 3145728 bytes: File too large");
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
    EXPECT_EQ(folder.error(ErrorCode::kInputOutput, [&] { writer.finish(); }), "x.npy: an earlier write failed");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Checksum, IsXxh3) {
  const TemporaryFolder folder;
  EXPECT_EQ(checksum_file(folder.write("empty", "")), 0x2d06800538d394c2u);  // the published value for no bytes
  EXPECT_NE(checksum_file(folder.write("x", "x")), checksum_file(folder.write("y", "y")));
}

}  // namespace
}  // namespace lexiscope::testing
