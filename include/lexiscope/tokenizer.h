// From text to the ids that a model was trained on, and back: exactly what the model's own tokenizer does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lexiscope {

struct Token {
  std::int32_t id = 0;
  std::size_t begin = 0, end = 0;  ///< the bytes [begin, end) of the text it stands for; equal where it was added
  bool operator==(const Token&) const = default;
};

/// A tokenizer as Hugging Face's `tokenizers` defines it: added tokens, normalizer, pre-tokenizer, model (WordPiece,
/// BPE or Unigram), post-processor and decoder. Immutable: threads may share one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// With the special tokens that the model's own post-processor adds, unless `special` is false. Throws
  /// Error{kInvalidArgument} for text that is not UTF-8, naming the offset of the first invalid byte and its value.
  virtual std::vector<Token> encode(std::string_view text, bool special = true) const = 0;
  /// The text of those ids; special tokens are left out where `skip_special` says so. Ids that hold parts of a
  /// character give U+FFFD where the parts make none. Throws Error{kInvalidArgument} for an id beyond the vocabulary.
  virtual std::string decode(std::span<const std::int32_t> ids, bool skip_special = true) const = 0;

  /// 1 + the largest id.
  virtual std::size_t vocabulary_size() const noexcept = 0;
  /// As the vocabulary spells it ("##ing", "Ġthe", "▁the"); empty for an id that has no token. Throws as decode() does.
  virtual const std::string& token(std::int32_t id) const = 0;
  virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
  /// Whether the id is one of the added special tokens ([CLS], <|endoftext|>).
  virtual bool is_special(std::int32_t id) const noexcept = 0;
};

/// Reads the tokenizer of a model: of a Hugging Face folder from tokenizer.json, or else vocab.json + merges.txt, or
/// else vocab.txt (with tokenizer_config.json where it is there); or of a .gguf from its metadata.
///
/// Throws Error{kInvalidFile} naming file, field and value for what is missing or malformed; Error{kUnsupported} naming
/// the kind of a component that there is no code for.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model);

}  // namespace lexiscope
