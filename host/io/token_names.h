// The names of a vocabulary's tokens, from the files that Hugging Face folders hold.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace lexiscope {

struct TokenNames {
  std::vector<std::string> names;  ///< [rows]; "[row N]" where the vocabulary names none; empty: no vocabulary file
  std::size_t vocabulary = 0;      ///< one more than the largest id in the file, whatever `rows` is
};

/// From tokenizer.json, else vocab.txt, else vocab.json in `folder`; none of them is no error. Names are as the
/// vocabulary holds them: "##ing", "Ġthe". Throws Error{kInvalidFile} naming file, field and value where the one found
/// is malformed.
TokenNames read_token_names(const std::filesystem::path& folder, std::size_t rows);

}  // namespace lexiscope
