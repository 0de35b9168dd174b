// How passes over rows are cut: every row once, and no thread started where the work is done before it would begin.
#include "kernels/cpu/row_blocks.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <vector>

namespace lexiscope::cpu {
namespace {

static_assert(!rows_worth_threads(16, 384) && !rows_worth_threads(128, 384) && rows_worth_threads(512, 384));
static_assert(!rows_worth_threads(1'000'000, 0));
static_assert(rows_per_block(0) > 0 && rows_per_block(1'000'000) == 1 && rows_per_block(384) == 21);

TEST(RowBlocks, TakeEveryRowOnce) {
  for (const std::size_t columns : {1, 17, 384, 100'000})
    for (const std::size_t rows : {0, 1, 2, 33, 129, 500, 70'000}) {
      std::vector<std::atomic<int>> taken(rows);
      for_each_row_block(rows, columns, 3, [&](std::size_t first, std::size_t last) {
        ASSERT_LE(last, rows);
        for (std::size_t row = first; row < last; ++row) ++taken[row];
      });
      for (std::size_t row = 0; row < rows; ++row) ASSERT_EQ(taken[row], 1) << row << " of " << rows;
    }
}

TEST(RowBlocks, EnterNoParallelRegionForASmallMatrix) {
  for_each_row_block(16, 384, 2, [](std::size_t, std::size_t) { EXPECT_EQ(omp_get_level(), 0); });
  for_each_row_block(4096, 384, 2, [](std::size_t, std::size_t) { EXPECT_EQ(omp_get_level(), 1); });
}

}  // namespace
}  // namespace lexiscope::cpu
