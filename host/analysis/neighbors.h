// Nearest tokens of given tokens, by cosine on the embedding itself.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope {

struct TokenNeighbor {
  std::size_t row = 0;
  double cosine = 0;
};

struct TokenNeighbors {
  std::size_t row = 0;
  std::vector<TokenNeighbor> nearest{};  ///< k of them, nearest first, the token itself left out
};

/// The row that `word` names: the first token of exactly this text; else "#123", row 123. With `by_row` the word is a
/// row's number and nothing else. Throws Error{kInvalidArgument} where there is no such token (suggesting near
/// spellings) or row.
std::size_t find_token(std::string_view word, std::span<const std::string> tokens, std::size_t rows, bool by_row);

/// All rows asked for in one search. Throws Error{kInvalidArgument} where k is 0 or more than N - 1.
std::vector<TokenNeighbors> find_neighbors(Engine& engine, MatrixView<const float> embedding,
                                           std::span<const std::size_t> rows, std::size_t k,
                                           const Control* control = nullptr);

}  // namespace lexiscope
