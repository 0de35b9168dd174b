// Embeddings from every kind of source, borrowed or converted; token names; SHA-256; what is refused and how it is
// said.
#include "host/io/embedding_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "host/io/npy.h"
#include "tests/support/safetensors.h"

namespace lexiscope::testing {
namespace {

using Names = std::vector<std::string>;

// Element k of the goldens in C order, for floats; integers have other formulas.
float golden_float(std::size_t k) { return static_cast<float>(k) / 2 - 2; }

std::vector<float> values_of(const Embedding& embedding) {
  std::vector<float> values;
  for (std::size_t row = 0; row < embedding.matrix.rows; ++row)
    values.insert(values.end(), embedding.matrix.row(row), embedding.matrix.row(row) + embedding.matrix.columns);
  return values;
}

// The first `count` golden values of a type, by NumPy's or safetensors' name.
std::vector<float> golden_values(const std::string& type, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t k = 0; k < count; ++k)
    values[k] = type == "u1" || type == "U8"                    ? static_cast<float>(k)
                : type.find_first_of("iI") == std::string::npos ? golden_float(k)
                                                                : static_cast<float>(k) - 5;
  return values;
}

TEST(EmbeddingFromNpy, OfEveryTypeAndOrderIsTheSameMatrix) {
  for (const char* order : {"c_", "fortran_"})
    for (const std::string type : {"f2", "f4", "f8", "i4", "i8", "u1"})
      for (const std::size_t limit : {0, 1, 3}) {
        const auto path = data_path("npy/" + (order + type) + ".npy");
        const Embedding embedding = load_embedding(path, {.tensor = {}, .limit = limit});
        EXPECT_EQ(embedding.matrix.rows, limit ? limit : 3u);
        EXPECT_EQ(embedding.matrix.columns, 4u);
        EXPECT_EQ(values_of(embedding), golden_values(type, (limit ? limit : 3) * 4)) << path;
        EXPECT_EQ(embedding.path, path.string());
        EXPECT_EQ(embedding.stored_dtype, (type == "u1" ? "|" : "<") + type);
        EXPECT_TRUE(embedding.tokens.empty());
        EXPECT_TRUE(embedding.tensor.empty());
        EXPECT_EQ(embedding.sha256, sha256_file(path));
      }
}

TEST(EmbeddingFromSafetensors, OfEveryTypeIsTheSameMatrix) {
  const auto path = data_path("safetensors/every_type.safetensors");
  for (const std::string type : {"BF16", "F16", "F32", "F64", "I32", "I64", "U8"}) {
    const Embedding embedding = load_embedding(path, {.tensor = "matrix." + type, .limit = 0});
    EXPECT_EQ(values_of(embedding), golden_values(type, 6)) << type;
    EXPECT_EQ(embedding.stored_dtype, type);
    EXPECT_EQ(embedding.tensor, "matrix." + type);
  }
}

// Aligned f32 rows stay where the file has them: the view lies 64-byte aligned within a page of the mapping, which a
// converted copy would not.
TEST(EmbeddingRows, AreBorrowedWhereTheyLieAlignedInTheFile) {
  const TemporaryFolder folder;
  const auto path = folder / "x.npy";
  NpyWriter writer(path, DType::f32, {384});
  writer.append(std::span<const float>(std::vector<float>(384 * 100, 1.0f)));
  writer.finish();
  const Embedding embedding = load_embedding(path);
  const NpyArray array = read_npy(path);
  const auto in_page = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 4096; };
  EXPECT_EQ(in_page(embedding.matrix.data), in_page(array.data.data()));
  const auto mapped = std::static_pointer_cast<const MappedFile>(embedding.keep_alive)->bytes();
  EXPECT_EQ(reinterpret_cast<const std::byte*>(embedding.matrix.data), mapped.data() + 128);
}

TEST(EmbeddingRows, ThatLieUnalignedAreCopied) {
  const TemporaryFolder folder;
  const std::string header = R"({"wte.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}} )";
  ASSERT_NE(header.size() % 4, 0u);
  const Embedding embedding =
      load_embedding(folder.write("x.safetensors", safetensors(header, bytes_of<float>({1.5f, -2}))));
  EXPECT_EQ(values_of(embedding), (std::vector<float>{1.5f, -2}));
}

std::string npy(const std::string& type, const std::string& shape, const std::string& data) {
  const std::string dictionary = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + "}";
  return std::string("\x93NUMPY\x01\x00", 8) + little_endian(dictionary.size(), 2) + dictionary + data;
}

// Every finite f16 comes out exactly: sign, 2^(exponent - 15) (1 + fraction / 1024), subnormals fraction * 2^-24.
TEST(EmbeddingConversion, OfEveryHalfIsExact) {
  std::vector<std::uint16_t> halves;
  std::vector<float> want;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>((bits >> 10) & 31), fraction = static_cast<int>(bits & 1023);
    if (exponent == 31) continue;
    const double magnitude =
        exponent ? std::ldexp(1 + fraction / 1024.0, exponent - 15) : std::ldexp(fraction / 1024.0, -14);
    halves.push_back(static_cast<std::uint16_t>(bits));
    want.push_back(static_cast<float>(bits & 0x8000 ? -magnitude : magnitude));
  }
  const TemporaryFolder folder;
  const auto path = folder.write("x.npy", npy("<f2", "(1, " + std::to_string(halves.size()) + ")", bytes_of(halves)));
  EXPECT_EQ(values_of(load_embedding(path)), want);
}

TEST(EmbeddingValues, ThatF32CannotHoldAreNamed) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = static_cast<float>(kInfinity);
  const TemporaryFolder folder;
  const std::tuple<std::string, const char*> files[] = {
      {npy("<f4", "(2, 2)", bytes_of<float>({1, 2, nan, 4})), "x.npy: the matrix has nan in row 1, column 0"},
      {npy("<f4", "(2, 2)", bytes_of<float>({1, -infinity, 3, 4})), "x.npy: the matrix has -inf in row 0, column 1"},
      {npy("<f8", "(2, 2)", bytes_of<double>({1, 2, 3, kInfinity})), "x.npy: the matrix has inf in row 1, column 1"},
      {npy("<f8", "(2, 2)", bytes_of<double>({1, 1e300, 3, 4})),
       "x.npy has 1e+300 in row 0, column 1, which f32 cannot hold"},
      {npy("<f2", "(1, 2)", bytes_of<std::uint16_t>({0x3c00, 0x7c00})), "x.npy: the matrix has inf in row 0, column 1"},
      {npy("<f2", "(1, 2)", bytes_of<std::uint16_t>({0xfe00, 0x3c00})), "x.npy: the matrix has nan in row 0, column 0"},
      {npy("<i4", "(1, 2)", bytes_of<std::int32_t>({1 << 24, (1 << 24) + 1})),
       "x.npy has 16777217 in row 0, column 1, which f32 cannot hold"},
      {npy("<i8", "(1, 2)", bytes_of<std::int64_t>({INT64_MIN, 1})),
       "x.npy has -9223372036854775808 in row 0, column 0, which f32 cannot hold"}};
  for (const auto& [bytes, message] : files) {
    const auto path = folder.write("x.npy", bytes);
    EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&] { load_embedding(path); }), message);
  }
  // Rows beyond the limit are not looked at.
  const auto path = folder.write("x.npy", npy("<f4", "(2, 2)", bytes_of<float>({1, 2, nan, 4})));
  EXPECT_EQ(values_of(load_embedding(path, {.tensor = {}, .limit = 1})), (std::vector<float>{1, 2}));
}

TEST(EmbeddingSource, ThatIsNoneIsRefusedWithItsReason) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "model");
  folder.write("x.txt", "x");
  folder.write("vector.npy", npy("<f4", "(2,)", bytes_of<float>({1, 2})));
  folder.write("empty.npy", npy("<f4", "(0, 2)", ""));
  folder.write("good.npy", npy("<f4", "(1, 2)", bytes_of<float>({1, 2})));
  folder.write("cut.npy", npy("<f4", "(2, 2)", bytes_of<float>({1, 2})));
  folder.write("other.safetensors", one_tensor("lm_head.weight", 1, 2, {1, 2}));
  folder.write("model.gguf", "GGUF");
  const std::tuple<const char*, EmbeddingOptions, ErrorCode, const char*> cases[] = {
      {"none", {}, ErrorCode::kInvalidFile, "none: cannot be opened: No such file or directory"},
      {"x.txt", {}, ErrorCode::kInvalidFile, "x.txt: is no folder, .safetensors, .gguf or .npy"},
      {"model.gguf",
       {},
       ErrorCode::kInvalidFile,
       "model.gguf: is cut short: the version at byte 4 needs 4 bytes, 0 are left"},
      {"model", {}, ErrorCode::kInvalidFile, "model: holds neither model.safetensors nor model.safetensors.index.json"},
      {"vector.npy", {}, ErrorCode::kInvalidFile, "vector.npy: shape is (2,), a matrix of rank 2 is needed"},
      {"empty.npy", {}, ErrorCode::kInvalidFile, "empty.npy: shape is (0, 2), it is empty"},
      {"cut.npy", {}, ErrorCode::kInvalidFile, "cut.npy: shape (2, 2) of <f4 needs 16 bytes of data, the file has 8"},
      {"good.npy",
       {.tensor = "a", .limit = 0},
       ErrorCode::kInvalidArgument,
       "good.npy: an .npy file has no tensors by name, \"a\" was asked for"},
      {"good.npy",
       {.tensor = "", .limit = 2},
       ErrorCode::kInvalidArgument,
       "good.npy: a limit of 2 rows is given, it has 1"},
      {"other.safetensors",
       {.tensor = "a", .limit = 0},
       ErrorCode::kInvalidFile,
       "other.safetensors: holds no tensor \"a\"; it holds \"lm_head.weight\""},
      {"other.safetensors",
       {},
       ErrorCode::kInvalidFile,
       "other.safetensors: no tensor's name ends in word_embeddings.weight, wte.weight, embed_tokens.weight, "
       "embed_in.weight, shared.weight; one must be named of \"lm_head.weight\""}};
  for (const auto& [name, options, code, message] : cases)
    EXPECT_EQ(folder.error(code, [&, file = folder / name, &wanted = options] { load_embedding(file, wanted); }),
              message);
  std::ofstream(folder / "model/pytorch_model.bin") << "x";
  EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&] { load_embedding(folder / "model"); }),
            "model: holds neither model.safetensors nor model.safetensors.index.json; pytorch_model.bin is not read, "
            "it must be converted to safetensors");
}

class HuggingFaceFolder : public ::testing::Test {
 protected:
  HuggingFaceFolder() { model("embeddings.word_embeddings.weight"); }

  void model(const std::string& tensor) {
    folder_.write("model.safetensors", one_tensor(tensor, 3, 2, {1, 2, 3, 4, 5, 6}));
  }
  std::string error() const {
    return folder_.error(ErrorCode::kInvalidFile, [&] { load_embedding(folder_.path()); });
  }
  Names tokens() const { return load_embedding(folder_.path()).tokens; }

  TemporaryFolder folder_;
};

TEST_F(HuggingFaceFolder, HoldsTheEmbeddingByItsUsualNames) {
  for (const char* tensor : {"embeddings.word_embeddings.weight", "transformer.wte.weight", "wte.weight",
                             "model.embed_tokens.weight", "gpt_neox.embed_in.weight", "shared.weight"}) {
    model(tensor);
    const Embedding embedding = load_embedding(folder_.path());
    EXPECT_EQ(embedding.tensor, tensor);
    EXPECT_EQ(embedding.path, (folder_ / "model.safetensors").string());
    EXPECT_EQ(embedding.sha256, sha256_file(folder_ / "model.safetensors"));
    EXPECT_TRUE(embedding.tokens.empty());
  }
  model("xwte.weight");  // the end of a name, but of no component
  EXPECT_NE(error(), "no error");
}

TEST_F(HuggingFaceFolder, WithTwoCandidatesAsksForAName) {
  const std::string description = R"({"dtype":"U8","shape":[1,1],"data_offsets":)";
  folder_.write("model.safetensors",
                safetensors(R"({"decoder.embed_tokens.weight":)" + description +
                                R"([0,1]},"encoder.embed_tokens.weight":)" + description + "[1,2]}}",
                            "ab"));
  EXPECT_EQ(error(),
            "model.safetensors: several tensors may be the embedding, one must be named: "
            "\"decoder.embed_tokens.weight\", \"encoder.embed_tokens.weight\"");
  const EmbeddingOptions options{.tensor = "encoder.embed_tokens.weight", .limit = 0};
  EXPECT_EQ(values_of(load_embedding(folder_.path(), options)), std::vector<float>{'b'});
}

TEST_F(HuggingFaceFolder, MayBeSharded) {
  std::filesystem::rename(folder_ / "model.safetensors", folder_ / "model-1.safetensors");
  folder_.write("model.safetensors.index.json",
                R"({"weight_map": {"embeddings.word_embeddings.weight": "model-1.safetensors"}})");
  const Embedding embedding = load_embedding(folder_.path());
  EXPECT_EQ(embedding.path, (folder_ / "model-1.safetensors").string());
  EXPECT_EQ(embedding.sha256, sha256_file(folder_ / "model-1.safetensors"));
  EXPECT_EQ(embedding.matrix.row(2)[1], 6.0f);
}

TEST_F(HuggingFaceFolder, AgreesWithItsConfiguration) {
  for (const char* config : {R"({"vocab_size": 3, "hidden_size": 2})", R"({"vocab_size": 3, "n_embd": 2})", "{}",
                             R"({"vocab_size": null, "embedding_size": 2, "hidden_size": 7})"}) {
    folder_.write("config.json", config);
    EXPECT_EQ(error(), "no error") << config;
  }
  const std::string tensor = "tensor \"embeddings.word_embeddings.weight\" has shape (3, 2)";
  folder_.write("config.json", R"({"vocab_size": 4})");
  EXPECT_EQ(error(), "config.json: \"vocab_size\" is 4, " + tensor);
  folder_.write("config.json", R"({"hidden_size": 3})");
  EXPECT_EQ(error(), "config.json: \"hidden_size\" is 3, " + tensor);
  folder_.write("config.json", R"({"hidden_size": "2"})");
  EXPECT_EQ(error(), "config.json: \"hidden_size\" is \"2\", an integer of 0 or more is needed");
  folder_.write("config.json", "{");
  EXPECT_EQ(error(), "config.json: is not valid JSON at byte 2 of 1");
}

TEST_F(HuggingFaceFolder, NamesTokensByItsTokenizer) {
  folder_.write("vocab.txt", "x\ny\nz\n");  // tokenizer.json goes first
  folder_.write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": {"a": 0, "##b": 1}}})");
  EXPECT_EQ(tokens(), (Names{"a", "##b", "[row 2]"}));
  folder_.write(
      "tokenizer.json",
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "Ġb": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]})");
  EXPECT_EQ(tokens(), (Names{"a", "Ġb", "<s>"}));
  folder_.write("tokenizer.json", R"({"model": {"type": "Unigram", "vocab": [["a", 0], ["b", -1.5]]}})");
  EXPECT_EQ(tokens(), (Names{"a", "b", "[row 2]"}));
  folder_.write("tokenizer.json", R"({"model": {"vocab": {"a": 1, "far": 18446744073709551615}}})");
  EXPECT_EQ(tokens(), (Names{"[row 0]", "a", "[row 2]"}));
}

TEST_F(HuggingFaceFolder, NamesTokensByItsVocabularyFiles) {
  folder_.write("vocab.json", R"({"a": 2, "b": 0})");
  EXPECT_EQ(tokens(), (Names{"b", "[row 1]", "a"}));
  folder_.write("vocab.txt", "a\r\n\nc d");
  EXPECT_EQ(tokens(), (Names{"a", "", "c d"}));
  folder_.write("vocab.txt", "a\n\xc3\xa4\n\xe2\x82\xac\n\xf0\x9f\x98\x80\n");
  EXPECT_EQ(tokens(), (Names{"a", "\xc3\xa4", "\xe2\x82\xac"}));
  EXPECT_EQ(load_embedding(folder_.path(), {.tensor = {}, .limit = 1}).tokens, (Names{"a"}));
}

TEST_F(HuggingFaceFolder, NamesNoTokensOfATensorThatHasTooFewRows) {
  folder_.write("vocab.txt", "a\nb\nc\nd\n");
  EXPECT_EQ(tokens(), (Names{"a", "b", "c"}));
  const EmbeddingOptions named{.tensor = "embeddings.word_embeddings.weight", .limit = 0};
  EXPECT_TRUE(load_embedding(folder_.path(), named).tokens.empty());
  folder_.write("vocab.txt", "a\nb\nc\n");
  EXPECT_EQ(load_embedding(folder_.path(), named).tokens, (Names{"a", "b", "c"}));
}

TEST_F(HuggingFaceFolder, NamesWhatIsWrongInItsVocabulary) {
  const std::pair<const char*, const char*> tokenizers[] = {
      {"[]", "tokenizer.json: is a list of 0, an object is needed"},
      {"{}", "tokenizer.json: \"model\" is missing"},
      {R"({"model": {}})", "tokenizer.json: \"model\": \"vocab\" is missing"},
      {R"({"model": {"vocab": 1}})", "tokenizer.json: \"vocab\" is 1, an object or a list is needed"},
      {R"({"model": {"vocab": {"a": -1}}})",
       "tokenizer.json: \"vocab\": token \"a\" has the id -1, an integer of 0 or more is needed"},
      {R"({"model": {"vocab": [["a", 1], "b"]}})",
       "tokenizer.json: \"vocab\": entry 1 is \"b\", a token with its score is needed"},
      {R"({"model": {"vocab": {}}, "added_tokens": [1]})",
       "tokenizer.json: \"added_tokens\" holds 1, objects are needed"},
      {R"({"model": {"vocab": {}}, "added_tokens": [{"id": 1}]})",
       "tokenizer.json: \"added_tokens\": \"content\" is missing"}};
  for (const auto& [text, message] : tokenizers) {
    folder_.write("tokenizer.json", text);
    EXPECT_EQ(error(), message);
  }
  std::filesystem::remove(folder_ / "tokenizer.json");
  for (const char* bad : {"\xff", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
                          "\xe2\x82", "\xc3", "\x80"}) {
    folder_.write("vocab.txt", std::string("a\n") + bad + "\n");
    EXPECT_EQ(error().substr(0, 34), "vocab.txt: line 2 is not UTF-8: \"\\");
  }
}

// FIPS 180-4's examples, and a million times "a".
TEST(Sha256, GivesTheKnownValues) {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
  for (const auto& [text, hex] : vectors) EXPECT_EQ(sha256_file(folder.write("x", text)), hex);
  EXPECT_EQ(folder.error(ErrorCode::kInvalidFile, [&] { sha256_file(folder / "none"); }),
            "none: cannot be opened: No such file or directory");
}

}  // namespace
}  // namespace lexiscope::testing
