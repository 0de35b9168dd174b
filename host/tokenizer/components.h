// The stages of a tokenizer, as tokenizer.json of Hugging Face's `tokenizers` names them. Each kind of a stage has a
// file of its own with a function that makes it from its JSON; load_tokenizer.cpp puts them together.
//
// Those functions take `where`, which names file and place for messages ("m/tokenizer.json: \"normalizer\""), and throw
// Error{kInvalidFile} for a field that is missing or malformed, Error{kUnsupported} for a kind or value that there is
// no code for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/tokenizer/aligned_text.h"

namespace lexiscope {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual AlignedText normalize(AlignedText text) const = 0;
};

/// Cuts a piece of text into smaller pieces; may change their characters too (ByteLevel, Metaspace). Empty pieces are
/// not given.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void split(AlignedText piece, std::vector<AlignedText>& pieces) const = 0;
};

/// A token within one piece: bytes [begin, end) of the piece.
struct PieceToken {
  std::int32_t id = 0;
  std::size_t begin = 0, end = 0;
  bool operator==(const PieceToken&) const = default;
};

/// A vocabulary and the rule that cuts a piece into its tokens.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual void tokenize(std::string_view piece, std::vector<PieceToken>& tokens) const = 0;
  virtual std::size_t size() const noexcept = 0;                         ///< 1 + the largest id
  virtual const std::string& token(std::int32_t id) const noexcept = 0;  ///< empty for a gap; id < size()
  virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
};

/// Turns the spellings of tokens into text; the pieces are joined when every decoder has run.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void decode(std::vector<std::string>& pieces) const = 0;
};

}  // namespace lexiscope
