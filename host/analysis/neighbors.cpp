// Looks tokens up and searches around them. One candidate more than asked for is fetched, since a query finds itself.
#include "host/analysis/neighbors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "host/analysis/engine_arrays.h"
#include "host/analysis/spelling.h"
#include "host/core/require.h"

namespace lexiscope {
namespace {

std::optional<std::size_t> parse_number(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::size_t checked_row(std::size_t row, std::size_t rows) {
  require(row < rows, "token row {} does not exist: the embedding has rows 0 to {}", row, rows - 1);
  return row;
}

}  // namespace

std::size_t find_token(std::string_view word, std::span<const std::string> tokens, std::size_t rows, bool by_row) {
  if (by_row) {
    const auto row = parse_number(word);
    require(row.has_value(), "\"{}\" is not a row's number, 0 to {}", word, rows - 1);
    return checked_row(*row, rows);
  }
  if (const auto token = std::find(tokens.begin(), tokens.end(), word); token != tokens.end())
    return static_cast<std::size_t>(token - tokens.begin());
  if (word.starts_with('#'))
    if (const auto row = parse_number(word.substr(1))) return checked_row(*row, rows);
  require(!tokens.empty(), "the source does not name its tokens, so \"{}\" cannot be found: give rows, as in \"#123\"",
          word);
  const auto near = nearest_spellings(word, tokens, 5);
  if (near.empty()) fail(ErrorCode::kInvalidArgument, "there is no token \"{}\", nor one spelled like it", word);
  fail(ErrorCode::kInvalidArgument, "there is no token \"{}\"; near it: {}", word, fmt::join(near, ", "));
}

std::vector<TokenNeighbors> find_neighbors(Engine& engine, MatrixView<const float> embedding,
                                           std::span<const std::size_t> rows, std::size_t k, const Control* control) {
  const std::size_t n = embedding.rows, d = embedding.columns;
  require(k >= 1 && k + 1 <= n, "k is {}, needs to be 1 to {}: the embedding has {} rows", k, n - 1, n);
  const Tensor queries = allocate_host_tensor(DType::f32, std::array{rows.size(), d});
  for (std::size_t query = 0; query < rows.size(); ++query)
    std::copy_n(embedding.row(rows[query]), d, queries.matrix<float>().row(query));
  const Tensor indices = engine.allocate(DType::i32, {rows.size(), k + 1});
  const Tensor distances = engine.allocate(DType::f32, {rows.size(), k + 1});
  Tensor points;
  engine.neighbors({.points = rows_on_engine(engine, embedding, points),
                    .queries = on_engine(engine, queries).matrix<float>(),
                    .metric = Metric::cosine,
                    .indices = indices.matrix<std::int32_t>(),
                    .distances = distances.matrix<float>(),
                    .control = control});
  const Tensor found_indices = on_host(engine, indices), found_distances = on_host(engine, distances);
  std::vector<TokenNeighbors> found(rows.size());
  for (std::size_t query = 0; query < rows.size(); ++query) {
    found[query].row = rows[query];
    for (std::size_t j = 0; j <= k && found[query].nearest.size() < k; ++j) {
      const auto row = static_cast<std::size_t>(found_indices.matrix<std::int32_t>().row(query)[j]);
      if (row != rows[query])
        found[query].nearest.push_back({row, 1.0 - found_distances.matrix<float>().row(query)[j]});
    }
  }
  return found;
}

}  // namespace lexiscope
