// A tokenizer put together from its stages, as a tokenizer.json describes them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/core/require.h"
#include "host/core/utf8.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/tokenizer/added_tokens.h"
#include "host/tokenizer/component_kinds.h"
#include "host/tokenizer/post_processor.h"
#include "host/tokenizer/spec.h"

namespace lexiscope {

using nlohmann::json;

namespace {

// A stage that a file may leave out or give as null.
const json* optional_stage(const json& spec, const char* key, const std::string& where) {
  const auto found = spec.find(key);
  return found == spec.end() || found->is_null() ? nullptr : &object_field(spec, key, where);
}

std::string place(const std::string& where, const char* key) { return fmt::format("{}: \"{}\"", where, key); }

template <typename Make>
auto make_stage(Make make, const json& spec, const char* key, const std::string& where) {
  const json* stage = optional_stage(spec, key, where);
  return stage ? make(*stage, place(where, key)) : nullptr;
}

class Pipeline final : public Tokenizer {
 public:
  Pipeline(const json& spec, const std::string& where)
      : normalizer_(make_stage(make_normalizer, spec, "normalizer", where)),
        pre_tokenizer_(make_stage(make_pre_tokenizer, spec, "pre_tokenizer", where)),
        model_(make_token_model(object_field(spec, "model", where), place(where, "model"))),
        post_processor_(make_stage(make_post_processor, spec, "post_processor", where)),
        decoder_(make_stage(make_decoder, spec, "decoder", where)),
        added_(spec, *model_, normalizer_.get(), where),
        size_(std::max(model_->size(), added_.size())) {
    std::vector<std::int32_t> ids;
    if (post_processor_) post_processor_->append_ids(ids);
    for (const std::int32_t id : ids)
      if (static_cast<std::size_t>(id) >= size_)
        fail(ErrorCode::kInvalidFile, "{}: \"post_processor\" adds the id {}, the vocabulary has {}", where, id, size_);
  }

  std::vector<Token> encode(std::string_view text, bool special) const override {
    require_utf8(text);
    const std::vector<Part> parts = without_added_tokens(text);
    std::vector<AlignedText> pieces;
    std::vector<SpelledToken> tokens;
    for (const Part& part : parts) {
      if (part.added)
        tokens.push_back({spanning(part.added->id, part.text, 0, part.text.size()), part.text.text()});
      else
        tokenize(part.text, pieces, tokens);
    }
    if (post_processor_) post_processor_->process(tokens, text, special);
    std::vector<Token> result(tokens.size());
    std::transform(tokens.begin(), tokens.end(), result.begin(), [](const SpelledToken& token) { return token.token; });
    return result;
  }

  std::string decode(std::span<const std::int32_t> ids, bool skip_special) const override {
    std::vector<std::string> spellings;
    for (const std::int32_t id : ids) {
      require_id(id);
      const AddedToken* added = added_.find(id);
      const std::string& spelling = added ? added_.decoded(*added) : model_token(id);
      if (spelling.empty() || (skip_special && added_.is_special(spelling))) continue;
      spellings.push_back(spelling);
    }
    if (decoder_ && !spellings.empty()) decoder_->decode(spellings);
    std::string text;
    for (const std::string& spelling : spellings) {
      if (!decoder_ && !text.empty()) text += ' ';
      text += spelling;
    }
    return text;
  }

  std::size_t vocabulary_size() const noexcept override { return size_; }

  const std::string& token(std::int32_t id) const override {
    require_id(id);
    const AddedToken* added = added_.find(id);
    return added ? added->content : model_token(id);
  }

  std::optional<std::int32_t> id_of(std::string_view token) const override {
    const AddedToken* added = added_.find(token);
    return added ? std::optional(added->id) : model_->id_of(token);
  }

  bool is_special(std::int32_t id) const noexcept override {
    const AddedToken* added = added_.find(id);
    return added && added->special;
  }

 private:
  // A part of the text, normalized unless it is an added token that was found before.
  struct Part {
    AlignedText text;
    const AddedToken* added = nullptr;
  };

  static void require_utf8(std::string_view text) {
    if (const auto at = find_invalid_utf8(text))
      fail(ErrorCode::kInvalidArgument, "the text is not UTF-8: byte {} of {} is 0x{:02X}", *at, text.size(),
           static_cast<unsigned char>(text[*at]));
  }

  void require_id(std::int32_t id) const {
    require(id >= 0 && static_cast<std::size_t>(id) < size_, "the token id {} is not in the vocabulary of {}", id,
            size_);
  }

  const std::string& model_token(std::int32_t id) const {
    static const std::string none;
    return static_cast<std::size_t>(id) < model_->size() ? model_->token(id) : none;
  }

  static Token spanning(std::int32_t id, const AlignedText& text, std::size_t begin, std::size_t end) {
    const SourceRange source = text.source(begin, end);
    return {id, source.begin, source.end};
  }

  static void cut(const AlignedText& text, const AddedTokenFinder& finder, std::vector<Part>& parts) {
    for (const AddedSplit& split : finder.split(text.text()))
      parts.push_back({text.slice(split.begin, split.end), split.token});
  }

  std::vector<Part> without_added_tokens(std::string_view text) const {
    std::vector<Part> raw, parts;
    cut(AlignedText(text), added_.as_it_came(), raw);
    for (Part& part : raw) {
      if (part.added)
        parts.push_back(std::move(part));
      else
        cut(normalizer_ ? normalizer_->normalize(std::move(part.text)) : part.text, added_.normalized(), parts);
    }
    return parts;
  }

  void tokenize(const AlignedText& text, std::vector<AlignedText>& pieces, std::vector<SpelledToken>& tokens) const {
    pieces.clear();
    if (pre_tokenizer_)
      pre_tokenizer_->split(text, pieces);
    else
      pieces.push_back(text);
    std::vector<PieceToken> found;
    for (const AlignedText& piece : pieces) {
      found.clear();
      model_->tokenize(piece.text(), found);
      for (const PieceToken& token : found)
        tokens.push_back({spanning(token.id, piece, token.begin, token.end), model_->token(token.id)});
    }
  }

  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<TokenModel> model_;
  std::unique_ptr<PostProcessor> post_processor_;
  std::unique_ptr<Decoder> decoder_;
  AddedTokens added_;
  std::size_t size_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const json& spec, const std::string& where) {
  return std::make_unique<Pipeline>(spec, where);
}

}  // namespace lexiscope
