// Into what tiles the cuda engine cuts its products.
#include <gtest/gtest.h>

#include "kernels/cuda/product_config.h"
#include "kernels/cuda/row_config.h"

namespace lexiscope::testing {
namespace {

using cuda::choose_product_config;
using cuda::choose_row_config;
using cuda::RowHolder;
using cuda::TileKind;

cudaDeviceProp device_of(int multiprocessors) {
  cudaDeviceProp device{};
  device.multiProcessorCount = multiprocessors;
  return device;
}

TileKind tile(std::size_t rows, std::size_t columns, DType dtype, int multiprocessors = 108, bool gated = false) {
  return choose_product_config({.rows = rows, .columns = columns, .depth = 64, .dtype = dtype, .gated = gated},
                               device_of(multiprocessors))
      .tile;
}

TEST(CudaProductConfig, CutsLargeProductsIntoLargeTiles) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    EXPECT_EQ(tile(4096, 4096, dtype), TileKind::large);
    EXPECT_EQ(tile(4096, 11008, dtype, 108, true), TileKind::large);
    EXPECT_EQ(tile(512, 512, dtype, 1), TileKind::large);
  }
}

TEST(CudaProductConfig, CutsAFewRowsIntoSkinnyTiles) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::size_t rows : {1, 2, 16}) EXPECT_EQ(tile(rows, 4096, dtype), TileKind::skinny) << rows;
}

TEST(CudaProductConfig, GivesEveryMultiprocessorSomethingToDo) {
  EXPECT_EQ(tile(512, 768, DType::bf16), TileKind::medium);  // 24 large tiles, 96 medium ones
  EXPECT_EQ(tile(512, 768, DType::bf16, 24), TileKind::large);
}

// A gated product of m units has 2 m sums.
TEST(CudaProductConfig, CountsBothSumsOfAGatedUnit) {
  for (const std::size_t rows : {1, 64, 512, 2048})
    for (const std::size_t units : {64, 384, 1536, 8192})
      EXPECT_EQ(tile(rows, units, DType::bf16, 108, true), tile(rows, 2 * units, DType::bf16));
}

bool by_library(std::size_t rows, std::size_t depth, std::size_t columns, DType dtype, bool gated = false) {
  return choose_product_config({.rows = rows, .columns = columns, .depth = depth, .dtype = dtype, .gated = gated},
                               device_of(132))
      .library_is_faster;
}

// The shapes of linear_cuda whose times on H200 are farther apart than a tenth.
TEST(CudaProductConfig, LeavesLargeProductsToTheLibrary) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    EXPECT_TRUE(by_library(512, 4096, 4096, dtype));
    EXPECT_TRUE(by_library(4096, 4096, 4096, dtype));
  }
  EXPECT_FALSE(by_library(512, 384, 1536, DType::bf16));
}

TEST(CudaProductConfig, KeepsProductsThatAreSmallInAnyWay) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    EXPECT_TRUE(by_library(256, 4096, 4096, dtype));
    EXPECT_FALSE(by_library(255, 4096, 4096, dtype));  // few rows
    const std::size_t depth = dtype == DType::bf16 ? 384 : 512;
    EXPECT_TRUE(by_library(16'384, depth, 4096, dtype));
    EXPECT_FALSE(by_library(16'384, depth - 1, 4096, dtype));  // a shallow contraction
    EXPECT_TRUE(by_library(1024, 1024, 1024, dtype));
    EXPECT_FALSE(by_library(1024, 1024, 1023, dtype));  // few products
    EXPECT_FALSE(by_library(0, 0, 0, dtype));
  }
  // Two sums a unit. Counts of products beyond 64 bits do not wrap around.
  EXPECT_TRUE(by_library(1024, 1024, 512, DType::bf16, true));
  EXPECT_FALSE(by_library(1024, 1024, 511, DType::bf16, true));
  EXPECT_TRUE(by_library(std::size_t{1} << 30, std::size_t{1} << 17, std::size_t{1} << 17, DType::bf16));
}

TEST(CudaRowConfig, HoldsARowInAsFewRegistersAThreadAsHoldIt) {
  const auto device = device_of(108);
  const auto holder = [&](std::size_t columns, bool wide) {
    return choose_row_config(1000, columns, wide, device).holder;
  };
  for (const bool wide : {false, true}) {
    const std::size_t most = wide ? 32'768 : 16'384;
    EXPECT_EQ(holder(1, wide), RowHolder::warp);
    EXPECT_EQ(holder(512, wide), RowHolder::warp);
    EXPECT_EQ(holder(516, wide), RowHolder::wide_warp);
    EXPECT_EQ(holder(1024, wide), RowHolder::wide_warp);
    EXPECT_EQ(holder(1028, wide), RowHolder::block);
    EXPECT_EQ(holder(8192, wide), RowHolder::block);
    EXPECT_EQ(holder(8196, wide), RowHolder::wide_block);
    EXPECT_EQ(holder(most, wide), RowHolder::wide_block);
    EXPECT_EQ(holder(most + 4, wide), RowHolder::nobody);
  }
}

// What the kernels are compiled for, and enough registers for every column.
TEST(CudaRowConfig, StaysWithinTheKernelsBounds) {
  const auto device = device_of(108);
  for (const std::size_t rows : {1, 107, 108, 1000, 1'000'000})
    for (const std::size_t columns : {1, 512, 516, 1024, 1028, 1540, 4096, 8192, 8196, 16'384, 16'388, 32'768, 100'000})
      for (const bool wide : {false, true}) {
        const auto config = choose_row_config(rows, columns, wide, device);
        EXPECT_EQ(config.vector_width, wide ? 4u : 1u);
        EXPECT_EQ(config.threads % 32, 0u);
        EXPECT_GE(config.threads, 32u);
        EXPECT_LE(config.threads, cuda::most_threads(config.holder));
        if (config.holder == RowHolder::nobody) continue;
        const std::size_t threads = is_warp(config.holder) ? 32 : config.threads;
        const std::size_t held = cuda::held_elements(config.holder, config.vector_width);
        EXPECT_GE(threads * held, columns);
        EXPECT_LT((threads - 32) * held, columns);  // no warp without work
      }
}

TEST(CudaRowConfig, SpreadsAFewRowsOverTheMultiprocessors) {
  const auto device = device_of(108);
  EXPECT_EQ(choose_row_config(33, 384, true, device).threads, 32u);
  EXPECT_EQ(choose_row_config(100'000, 384, true, device).threads, 256u);
}

}  // namespace
}  // namespace lexiscope::testing
