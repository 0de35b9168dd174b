// A parser for the one Python dictionary that .npy headers hold. No recursion: tuples of integers do not nest.
#include "host/io/npy_header.h"

#include <charconv>
#include <set>

#include "host/core/require.h"
#include "host/io/array_layout.h"

namespace lexiscope {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  NpyHeader parse() {
    NpyHeader header;
    std::set<std::string> seen;
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      if (!seen.insert(key).second) fail(ErrorCode::kInvalidFile, "{}: the header has {} twice", path_, in_quotes(key));
      expect(':');
      value(key, header);
      if (take('}')) break;
      expect(',');
    }
    skip_space();
    if (at_ != text_.size()) malformed("the end");
    for (const char* key : {"descr", "fortran_order", "shape"})
      if (!seen.count(key)) fail(ErrorCode::kInvalidFile, "{}: the header lacks \"{}\"", path_, key);
    return header;
  }

 private:
  void value(const std::string& key, NpyHeader& header) {
    if (key == "descr")
      header.descr = descr();
    else if (key == "fortran_order")
      header.fortran_order = boolean();
    else if (key == "shape")
      header.shape = tuple();
    else
      fail(ErrorCode::kInvalidFile, "{}: the header has an unknown key {}", path_, in_quotes(key));
  }

  std::string descr() {
    skip_space();
    if (peek() == '[')
      fail(ErrorCode::kInvalidFile, "{}: records are not supported: \"descr\" is {}", path_,
           in_quotes(text_.substr(at_, text_.find(']', at_) - at_ + 1)));
    return string();
  }

  std::string string() {
    skip_space();
    const char quote = peek();
    if (quote != '\'' && quote != '"') malformed("a string");
    const std::size_t first = at_ + 1;
    const std::size_t last = text_.find(quote, first);
    if (last == std::string_view::npos) malformed("a string that ends");
    at_ = last + 1;
    return std::string(text_.substr(first, last - first));
  }

  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"})
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    malformed("True or False");
  }

  // (), (3,), (3, 4) or (3, 4,)
  std::vector<std::size_t> tuple() {
    std::vector<std::size_t> extents;
    expect('(');
    while (!take(')')) {
      extents.push_back(extent());
      if (extents.size() > kMaxFileRank)
        fail(ErrorCode::kInvalidFile, "{}: shape has more than {} dimensions", path_, kMaxFileRank);
      if (take(')')) {
        if (extents.size() == 1) malformed("a tuple");  // (3) is a number in brackets
        break;
      }
      expect(',');
    }
    return extents;
  }

  std::size_t extent() {
    skip_space();
    std::size_t extent = 0;
    const char* first = text_.data() + at_;
    const auto [end, problem] = std::from_chars(first, text_.data() + text_.size(), extent);
    if (problem == std::errc::result_out_of_range)
      fail(ErrorCode::kInvalidFile, "{}: shape has an extent beyond 64 bits: {}", path_,
           in_quotes({first, static_cast<std::size_t>(end - first)}));
    if (problem != std::errc{}) malformed("an extent of 0 or more");
    at_ += static_cast<std::size_t>(end - first);
    if (peek() == 'L') ++at_;  // how Python 2 wrote long integers
    return extent;
  }

  void expect(char wanted) {
    if (!take(wanted)) malformed(fmt::format("'{}'", wanted));
  }
  bool take(char wanted) {
    skip_space();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }

  [[noreturn]] void malformed(std::string_view wanted) const {
    fail(ErrorCode::kInvalidFile, "{}: the header is malformed at its byte {}: {} is needed, {} is there", path_, at_,
         wanted, at_ < text_.size() ? in_quotes(text_.substr(at_, 16)) : "the end");
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const std::string& path) { return Parser(text, path).parse(); }

std::string_view npy_descr(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return "<f2";
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::i32:
      return "<i4";
    case DType::i64:
      return "<i8";
    case DType::u8:
      return "|u1";
    case DType::bf16:
      break;
  }
  fail(ErrorCode::kInvalidArgument, "npy: the format has no {}", name_of(dtype));
}

// Magic, version, length and dictionary, padded with spaces so that the data is aligned whatever the number of rows.
std::string npy_file_header(DType dtype, std::size_t rows, std::span<const std::size_t> row_shape) {
  const auto dictionary = [&](std::size_t first) {
    std::vector<std::size_t> shape{first};
    shape.insert(shape.end(), row_shape.begin(), row_shape.end());
    return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", npy_descr(dtype), shape_text(shape));
  };
  constexpr std::size_t kPreamble = 10, kNewline = 1, kDataAlignment = 64;
  const std::size_t longest = kPreamble + dictionary(SIZE_MAX).size() + kNewline;
  const std::size_t size = (longest + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  std::string header(kNpyMagic);
  header += std::string_view("\x01\x00", 2);
  header += static_cast<char>((size - kPreamble) & 0xff);
  header += static_cast<char>((size - kPreamble) >> 8);
  header += dictionary(rows);
  header.resize(size - kNewline, ' ');
  return header + '\n';
}

}  // namespace lexiscope
