// Which attention kernel a shape and a device take.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "kernels/cuda/attention_config.h"
#include "lexiscope/error.h"

namespace lexiscope::testing {
namespace {

using cuda::AttentionVariant;
using cuda::choose_attention_config;
using cuda::kAttentionVariants;

cudaDeviceProp device(int major, int minor, std::size_t shared_kib, int processors) {
  cudaDeviceProp properties{};
  std::strcpy(properties.name, "a device");
  properties.major = major;
  properties.minor = minor;
  properties.sharedMemPerMultiprocessor = shared_kib * 1024;
  properties.reservedSharedMemPerBlock = 1024;
  properties.multiProcessorCount = processors;
  return properties;
}

const std::array<cudaDeviceProp, 6> kDevices{device(8, 0, 164, 108), device(8, 6, 100, 72),   device(8, 9, 100, 142),
                                             device(9, 0, 228, 132), device(10, 0, 228, 148), device(12, 0, 100, 188)};

struct Request {
  std::size_t heads = 16, queries = 4096, keys = 4096, head_dim = 64;
  bool padding = false, statistics = false;

  AttentionArgs args() const {
    alignas(16) static const std::uint16_t memory[8] = {};
    static const std::uint8_t keys_of_text[] = {1};
    static float statistic;
    const std::size_t query_shape[] = {heads, queries, head_dim}, key_shape[] = {heads, keys, head_dim};
    AttentionArgs args{.query = dense_view<const void>(memory, DType::bf16, query_shape),
                       .key = dense_view<const void>(memory, DType::bf16, key_shape),
                       .value = dense_view<const void>(memory, DType::bf16, key_shape)};
    if (padding) args.key_padding = {keys_of_text, keys};
    if (statistics) args.statistics.entropy = {&statistic, heads, queries, queries};
    return args;
  }
};

TEST(AttentionConfig, DoesWhatIsWantedAndFitsTwice) {
  for (const cudaDeviceProp& properties : kDevices)
    for (std::size_t head_dim = 1; head_dim <= 256; ++head_dim)
      for (const std::size_t queries : {1, 129, 100'000})
        for (const bool padding : {false, true})
          for (const bool statistics : {false, true}) {
            const Request request{
                .queries = queries, .head_dim = head_dim, .padding = padding, .statistics = statistics};
            const AttentionVariant variant = choose_attention_config(request.args(), properties).variant;
            EXPECT_GE(static_cast<std::size_t>(variant.tile.head_dim), head_dim);
            EXPECT_LT(static_cast<std::size_t>(variant.tile.head_dim), head_dim + 64);
            EXPECT_EQ(variant.padding, padding);
            EXPECT_TRUE(variant.statistics || !statistics);
            EXPECT_LE(2 * (static_cast<std::size_t>(variant.tile.shared_bytes()) + 1024),
                      properties.sharedMemPerMultiprocessor);
          }
}

TEST(AttentionConfig, TakesEveryVariantSomewhere) {
  for (const AttentionVariant& variant : kAttentionVariants) {
    bool taken = false;
    for (const cudaDeviceProp& properties : kDevices)
      for (const std::size_t queries : {64, 100'000})
        for (const bool statistics : {false, true}) {
          const Request request{.queries = queries,
                                .head_dim = static_cast<std::size_t>(variant.tile.head_dim),
                                .padding = variant.padding,
                                .statistics = statistics};
          taken |= choose_attention_config(request.args(), properties).variant == variant;
        }
    EXPECT_TRUE(taken) << variant.tile.head_dim << " x " << variant.tile.row_tiles << ", " << variant.tile.keys
                       << " keys, " << variant.tile.stages << " stages, from " << variant.from;
  }
}

TEST(AttentionConfig, SpreadsFewQueriesOverMoreBlocks) {
  const auto rows = [](std::size_t heads, std::size_t queries) {
    return choose_attention_config(Request{.heads = heads, .queries = queries, .statistics = true}.args(), kDevices[0])
        .variant.tile.rows();
  };
  EXPECT_EQ(rows(12, 128), 64);   // 12 blocks of 128 rows for 108 multiprocessors
  EXPECT_EQ(rows(215, 128), 64);  // one fewer than two for each
  EXPECT_EQ(rows(216, 128), 128);
  EXPECT_EQ(rows(12, 128 * 18), 128);
}

TEST(AttentionConfig, PacksRowsThatAreNoWholeChunks) {
  const auto packs = [](const AttentionArgs& args) { return choose_attention_config(args, kDevices[0]).pack; };
  EXPECT_FALSE(packs(Request{}.args()));
  EXPECT_FALSE(packs(Request{.head_dim = 80}.args()));
  EXPECT_TRUE(packs(Request{.head_dim = 20}.args()));
  AttentionArgs args = Request{}.args();
  args.query.data = static_cast<const std::uint16_t*>(args.query.data) + 1;
  EXPECT_TRUE(packs(args));
  for (auto AttentionArgs::*view : {&AttentionArgs::query, &AttentionArgs::key, &AttentionArgs::value})
    for (const std::size_t axis : {0, 1}) {
      args = Request{}.args();
      (args.*view).strides[axis] += 4;
      EXPECT_TRUE(packs(args));
    }
  args = Request{}.args();  // keys and values are read with one stride
  args.value.strides[1] += 8;
  EXPECT_TRUE(packs(args));
  args.key.strides[1] += 8;
  EXPECT_FALSE(packs(args));
}

TEST(AttentionConfig, NamesAHeadSizeWithoutAKernel) {
  try {
    choose_attention_config(Request{.head_dim = 257}.args(), kDevices[3]);
    FAIL() << "chose a kernel";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_STREQ(error.what(), "attention: no kernel for head size 257 on a device, needs to be at most 256");
  }
}

}  // namespace
}  // namespace lexiscope::testing
