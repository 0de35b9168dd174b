// Where the texts of a trace come from: the command line, a file, a file of many texts, or ids.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "lexiscope/model.h"
#include "lexiscope/trace.h"

namespace lexiscope::cli {

/// The texts in `content`, the bytes of `file`: the objects' "text" where its name ends in .jsonl, else what blank
/// lines part. Throws Error{kInvalidFile} naming the line that is no such object, Error{kInvalidArgument} for no text
/// at all.
std::vector<std::string> split_texts(std::string_view content, const std::filesystem::path& file);

/// Tokens with the model's special ones. `name` is for messages. Throws Error{kInvalidArgument} for text that is not
/// UTF-8, naming the offset, or that has no tokens of its own.
TraceText encode_text(const Tokenizer& tokenizer, std::string_view text, std::string_view name);

/// The white-space separated ids in a file. Throws Error{kInvalidFile} naming the line and what is no id.
TraceText read_ids(const std::filesystem::path& file);

/// Holds every text to `room` tokens: cuts longer ones where that is wanted, keeping the special tokens at the end,
/// else throws Error{kInvalidArgument} with both lengths.
void fit_texts(std::vector<TraceText>& texts, std::size_t room, bool truncate);

}  // namespace lexiscope::cli
