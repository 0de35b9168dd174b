// Files are mapped and split as they lie: byte for byte, but for the lines that part texts.
#include "host/cli/trace_texts.h"

#include <algorithm>
#include <charconv>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/io/mapped_file.h"

namespace lexiscope::cli {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

bool is_blank(std::string_view line) { return line.find_first_not_of(kSpace) == std::string_view::npos; }

/// body(number, line) for each line, from 1, without what ends it: a line feed, or a carriage return and one.
template <typename Body>
void for_each_line(std::string_view content, Body&& body) {
  for (std::size_t number = 1; !content.empty(); ++number) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    body(number, line);
    content.remove_prefix(std::min(end + 1, content.size()));
  }
}

std::vector<std::string> split_json_lines(std::string_view content, const std::string& file) {
  std::vector<std::string> texts;
  for_each_line(content, [&](std::size_t number, std::string_view line) {
    if (is_blank(line)) return;
    const std::string where = fmt::format("{}: line {}", file, number);
    const nlohmann::json object = parse_json(std::as_bytes(std::span(line)), where);
    if (!object.is_object())
      fail(ErrorCode::kInvalidFile, "{} is {}, an object with \"text\" is needed", where, value_text(object));
    texts.push_back(string_field(object, "text", where));
  });
  return texts;
}

std::vector<std::string> split_paragraphs(std::string_view content) {
  std::vector<std::string> texts;
  bool within = false;
  for_each_line(content, [&](std::size_t, std::string_view line) {
    if (is_blank(line)) {
      within = false;
    } else if (within) {
      texts.back() += '\n';
      texts.back() += line;
    } else {
      texts.emplace_back(line);
      within = true;
    }
  });
  return texts;
}

}  // namespace

std::vector<std::string> split_texts(std::string_view content, const std::filesystem::path& file) {
  std::vector<std::string> texts =
      file.extension() == ".jsonl" ? split_json_lines(content, file.string()) : split_paragraphs(content);
  require(!texts.empty(), "{}: holds no text", file.string());
  return texts;
}

TraceText encode_text(const Tokenizer& tokenizer, std::string_view text, std::string_view name) {
  require(!text.empty(), "{} is empty", name);
  TraceText encoded;
  try {
    encoded.tokens = tokenizer.encode(text);
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", name, error.what());
  }
  const auto of_its_own = [](const Token& token) { return token.begin < token.end; };
  require(std::ranges::any_of(encoded.tokens, of_its_own), "{} is empty: it has no tokens of its own", name);
  return encoded;
}

TraceText read_ids(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  const std::string_view content(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  TraceText text;
  for_each_line(content, [&](std::size_t number, std::string_view line) {
    for (std::size_t begin = 0; (begin = line.find_first_not_of(kSpace, begin)) != std::string_view::npos;) {
      const std::size_t end = std::min(line.find_first_of(kSpace, begin), line.size());
      const std::string_view word = line.substr(begin, end - begin);
      Token token;
      const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), token.id);
      if (error != std::errc{} || rest != word.data() + word.size())
        fail(ErrorCode::kInvalidFile, "{}: line {}: {} is no token id", file.string(), number, in_quotes(word));
      text.tokens.push_back(token);
      begin = end;
    }
  });
  require(!text.tokens.empty(), "{}: holds no ids", file.string());
  return text;
}

void fit_texts(std::vector<TraceText>& texts, std::size_t room, bool truncate) {
  for (std::size_t number = 0; number < texts.size(); ++number) {
    std::vector<Token>& tokens = texts[number].tokens;
    if (tokens.size() <= room) continue;
    const std::string name = texts.size() == 1 ? "the text" : fmt::format("text {}", number);
    require(truncate, "{} has {} tokens, there is room for {} in the model's context; --truncate keeps what fits", name,
            tokens.size(), room);
    const auto added = [](const Token& token) { return token.begin == token.end; };
    const auto last = std::find_if_not(tokens.rbegin(), tokens.rend(), added).base();
    const bool known = last != tokens.begin();  // of ids alone no token says what it stands for
    const auto kept = known ? std::min(static_cast<std::size_t>(tokens.end() - last), room) : 0;
    std::move(tokens.end() - static_cast<std::ptrdiff_t>(kept), tokens.end(),
              tokens.begin() + static_cast<std::ptrdiff_t>(room - kept));
    tokens.resize(room);
  }
}

}  // namespace lexiscope::cli
