// What somebody may have meant: the nearest spellings among the words there are.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lexiscope {

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other, in bytes
/// (Damerau-Levenshtein, optimal string alignment). Gives up at `limit` and returns limit + 1.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

/// At most `count` of the words within a third of the word's length in edits (at least one), nearest first, earlier
/// words first of equally near ones. Case does not count.
std::vector<std::string> nearest_spellings(std::string_view word, std::span<const std::string> words,
                                           std::size_t count);

}  // namespace lexiscope
