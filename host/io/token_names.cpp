// The names of a vocabulary's tokens. An id beyond the rows is counted but not stored: a file cannot make us allocate.
#include "host/io/token_names.h"

#include <algorithm>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/io/mapped_file.h"

namespace lexiscope {

using nlohmann::json;

namespace {

class Collector {
 public:
  explicit Collector(std::size_t rows) : names_(rows), named_(rows) {}

  void add(std::size_t id, std::string_view name) {
    vocabulary_ = std::max(vocabulary_, id < SIZE_MAX ? id + 1 : id);
    if (id >= names_.size()) return;
    names_[id] = name;
    named_[id] = true;
  }

  TokenNames finish() {
    for (std::size_t id = 0; id < names_.size(); ++id)
      if (!named_[id]) names_[id] = fmt::format("[row {}]", id);
    return {std::move(names_), vocabulary_};
  }

 private:
  std::vector<std::string> names_;
  std::vector<bool> named_;
  std::size_t vocabulary_ = 0;
};

// {"token": id}, as WordPiece, BPE and WordLevel models and vocab.json have it.
void add_object(Collector& tokens, const json& vocabulary, const std::string& where) {
  for (const auto& [name, id] : vocabulary.items()) {
    if (!id.is_number_unsigned())
      fail(ErrorCode::kInvalidFile, "{}: token {} has the id {}, an integer of 0 or more is needed", where,
           in_quotes(name), value_text(id));
    tokens.add(id.get<std::size_t>(), name);
  }
}

// [["token", score], ...], as Unigram models have it: the place is the id.
void add_list(Collector& tokens, const json& vocabulary, const std::string& where) {
  std::size_t id = 0;
  for (const json& entry : vocabulary) {
    if (!entry.is_array() || entry.empty() || !entry[0].is_string())
      fail(ErrorCode::kInvalidFile, "{}: entry {} is {}, a token with its score is needed", where, id,
           value_text(entry));
    tokens.add(id++, entry[0].get_ref<const std::string&>());
  }
}

TokenNames from_tokenizer_json(const std::filesystem::path& path, std::size_t rows) {
  const json document = read_json_object(path);
  const std::string where = path.string();
  const json& vocabulary = field(object_field(document, "model", where), "vocab", where + ": \"model\"");
  const std::string place = where + ": \"vocab\"";
  Collector tokens(rows);
  if (vocabulary.is_object())
    add_object(tokens, vocabulary, place);
  else if (vocabulary.is_array())
    add_list(tokens, vocabulary, place);
  else
    fail(ErrorCode::kInvalidFile, "{} is {}, an object or a list is needed", place, value_text(vocabulary));
  if (!document.contains("added_tokens")) return tokens.finish();
  const std::string added_place = where + ": \"added_tokens\"";
  for (const json& added : list_field(document, "added_tokens", where)) {
    if (!added.is_object())
      fail(ErrorCode::kInvalidFile, "{} holds {}, objects are needed", added_place, value_text(added));
    tokens.add(count_field(added, "id", added_place), string_field(added, "content", added_place));
  }
  return tokens.finish();
}

// One token a line; the line's number is the id.
TokenNames from_vocab_txt(const std::filesystem::path& path, std::size_t rows) {
  const MappedFile file(path);
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  Collector tokens(rows);
  for (std::size_t id = 0; !text.empty(); ++id) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view token = text.substr(0, end);
    if (token.ends_with('\r')) token.remove_suffix(1);
    if (!is_utf8(token))
      fail(ErrorCode::kInvalidFile, "{}: line {} is not UTF-8: {}", path.string(), id + 1, in_quotes(token));
    tokens.add(id, token);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return tokens.finish();
}

TokenNames from_vocab_json(const std::filesystem::path& path, std::size_t rows) {
  Collector tokens(rows);
  add_object(tokens, read_json_object(path), path.string());
  return tokens.finish();
}

}  // namespace

TokenNames read_token_names(const std::filesystem::path& folder, std::size_t rows) {
  std::error_code problem;
  if (const auto path = folder / "tokenizer.json"; std::filesystem::exists(path, problem))
    return from_tokenizer_json(path, rows);
  if (const auto path = folder / "vocab.txt"; std::filesystem::exists(path, problem)) return from_vocab_txt(path, rows);
  if (const auto path = folder / "vocab.json"; std::filesystem::exists(path, problem))
    return from_vocab_json(path, rows);
  return {};
}

}  // namespace lexiscope
