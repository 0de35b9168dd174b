// Copies keys and values into the layout that attention's tiles read.
#include "kernels/cpu/attention_heads.h"

#include <bit>
#include <cstring>

namespace lexiscope::cpu {
namespace {

template <typename Element>
const Element* row_of(const ConstTensorView& view, std::size_t group, std::size_t token) {
  return static_cast<const Element*>(view.data) + group * view.strides[0] + token * view.strides[1];
}

bool needs_copy(const ConstTensorView& view) {
  return view.rank > 0 && (view.dtype == DType::bf16 || view.strides[1] != view.shape[2]);
}

// A row of bf16 as words; an odd end is filled with zeros.
void copy_bf16_row(const ConstTensorView& key, std::size_t group, std::size_t token, const PackedHeads& packed) {
  float* words = packed.key + (group * key.shape[1] + token) * packed.words;
  words[packed.words - 1] = 0;
  std::memcpy(words, row_of<std::uint16_t>(key, group, token), key.shape[2] * sizeof(std::uint16_t));
}

// Two rows of bf16 values as one of words across both; beyond an odd end stand zeros.
void pair_bf16_rows(const ConstTensorView& value, std::size_t group, std::size_t pair, const PackedHeads& packed) {
  const std::size_t d = value.shape[2], first = 2 * pair;
  const bool two = first + 1 < value.shape[1];
  const std::uint16_t* low = row_of<std::uint16_t>(value, group, first);
  const std::uint16_t* high = row_of<std::uint16_t>(value, group, two ? first + 1 : first);
  const std::uint32_t keep_high = two ? 0xFFFF0000u : 0u;
  float* words = packed.value + (group * packed.value_rows + pair) * d;
  for (std::size_t c = 0; c < d; ++c)
    words[c] = std::bit_cast<float>(low[c] | ((std::uint32_t{high[c]} << 16) & keep_high));
}

void pack_keys(const ConstTensorView& key, const PackedHeads& packed, std::size_t group, std::size_t token) {
  if (key.dtype == DType::bf16) return copy_bf16_row(key, group, token, packed);
  std::copy_n(row_of<float>(key, group, token), packed.words,
              packed.key + (group * key.shape[1] + token) * packed.words);
}

void pack_values(const ConstTensorView& value, const PackedHeads& packed, std::size_t group, std::size_t row) {
  const std::size_t d = value.shape[2];
  if (value.dtype == DType::bf16) return pair_bf16_rows(value, group, row, packed);
  std::copy_n(row_of<float>(value, group, row), d, packed.value + (group * packed.value_rows + row) * d);
}

template <typename Element>
Element* statistic_row(const MatrixView<Element>& statistic, std::size_t head, std::size_t query) {
  return statistic.empty() ? nullptr : statistic.row(head) + query;
}

}  // namespace

PackedHeads cut_heads(const ConstTensorView& key, const ConstTensorView& value, WorkspaceCutter& cutter) {
  const std::size_t groups = key.shape[0], keys = key.shape[1], d = key.shape[2];
  const std::size_t elements = key.dtype == DType::bf16 ? 2 : 1;  // in a word
  PackedHeads packed{.words = (d + elements - 1) / elements, .value_rows = (keys + elements - 1) / elements};
  if (needs_copy(key)) packed.key = cutter.cut<float>(groups * keys * packed.words);
  if (needs_copy(value)) packed.value = cutter.cut<float>(groups * packed.value_rows * d);
  return packed;
}

void pack_heads(const ConstTensorView& key, const ConstTensorView& value, const PackedHeads& packed) {
  const std::size_t keys = key.shape[1];
  if (!packed.key && !packed.value) return;
  if (packed.key) {
#pragma omp for schedule(static) nowait
    for (std::size_t row = 0; row < key.shape[0] * keys; ++row) pack_keys(key, packed, row / keys, row % keys);
  }
  if (packed.value) {
#pragma omp for schedule(static) nowait
    for (std::size_t row = 0; row < key.shape[0] * packed.value_rows; ++row)
      pack_values(value, packed, row / packed.value_rows, row % packed.value_rows);
  }
#pragma omp barrier
}

const float* key_words(const ConstTensorView& key, const PackedHeads& packed, std::size_t group) {
  return packed.key ? packed.key + group * key.shape[1] * packed.words : row_of<float>(key, group, 0);
}

const float* value_words(const ConstTensorView& value, const PackedHeads& packed, std::size_t group) {
  return packed.value ? packed.value + group * packed.value_rows * value.shape[2] : row_of<float>(value, group, 0);
}

std::size_t keys_before_padding(VectorView<const std::uint8_t> padding, std::size_t keys) {
  while (!padding.empty() && keys > 0 && padding[keys - 1] == 0) --keys;
  return keys;
}

AttentionBlock attention_block_of(const AttentionArgs& args, const PackedHeads& packed, std::size_t head,
                                  std::size_t first_query, std::size_t queries, std::size_t seen_keys) {
  AttentionBlock block = scores_of(args, packed, head, first_query, queries, seen_keys);
  block.value = value_words(args.value, packed, head / (args.query.shape[0] / args.key.shape[0]));
  block.out = static_cast<float*>(args.out.data) + head * args.out.strides[0] + first_query * args.out.strides[1];
  block.out_stride = args.out.strides[1];
  block.log_sum_exp = statistic_row(args.statistics.log_sum_exp, head, first_query);
  block.entropy = statistic_row(args.statistics.entropy, head, first_query);
  block.maximum = statistic_row(args.statistics.maximum, head, first_query);
  block.argmax = statistic_row(args.statistics.argmax, head, first_query);
  return block;
}

}  // namespace lexiscope::cpu
