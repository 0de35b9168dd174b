// Conversion on vectors at the speed of memory. f32 becomes bf16 by adding half of the last kept bit's worth to its
// bits and dropping the lower 16; a NaN could turn into infinity that way, so it keeps its upper half made quiet.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include "kernels/cpu/convert.h"

#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/row_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using I32 = hn::RebindToSigned<F32>;
using U16 = hn::Rebind<std::uint16_t, F32>;

HWY_INLINE void narrow(const float* from, std::uint16_t* to) {
  const U32 u32;
  const auto value = hn::LoadU(F32(), from);
  const auto bits = hn::BitCast(u32, value);
  const auto last_kept = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 1));
  const auto nearest = hn::Add(bits, hn::Add(last_kept, hn::Set(u32, 0x7fff)));  // a tie goes up where that is even
  const auto quiet = hn::Or(bits, hn::Set(u32, 0x400000));
  const auto chosen = hn::IfThenElse(hn::RebindMask(u32, hn::IsNaN(value)), quiet, nearest);
  hn::StoreU(hn::DemoteTo(U16(), hn::BitCast(I32(), hn::ShiftRight<16>(chosen))), U16(), to);
}

HWY_INLINE void widen(const std::uint16_t* from, float* to) {
  const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(U32(), hn::LoadU(U16(), from)));
  hn::StoreU(hn::BitCast(F32(), bits), F32(), to);
}

// The last elements, where they fill no vector, go through buffers: masks for 16-bit lanes begin with AVX-512.
template <typename From, typename To, class Body>
HWY_INLINE void convert_vectors(const From* from, To* to, std::size_t count, const Body& body) {
  const std::size_t lanes = hn::Lanes(F32());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(from + i, to + i);
  if (i == count) return;
  From source[hn::MaxLanes(F32())] = {};
  To result[hn::MaxLanes(F32())];
  std::copy_n(from + i, count - i, source);
  body(source, result);
  std::copy_n(result, count - i, to + i);
}

void narrow_run(const void* from, void* to, std::size_t count) {
  convert_vectors(static_cast<const float*>(from), static_cast<std::uint16_t*>(to), count,
                  [](const float* source, std::uint16_t* result) HWY_ATTR { narrow(source, result); });
}

void widen_run(const void* from, void* to, std::size_t count) {
  convert_vectors(static_cast<const std::uint16_t*>(from), static_cast<float*>(to), count,
                  [](const std::uint16_t* source, float* result) HWY_ATTR { widen(source, result); });
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lexiscope::cpu {
namespace {

HWY_EXPORT(narrow_run);
HWY_EXPORT(widen_run);

void copy_run(const void* from, void* to, std::size_t count) { std::memcpy(to, from, count * sizeof(float)); }

using Run = void (*)(const void* from, void* to, std::size_t count);

Run choose_run(DType from, DType to) {
  if (from == to) return copy_run;
  return to == DType::bf16 ? HWY_DYNAMIC_DISPATCH(narrow_run) : HWY_DYNAMIC_DISPATCH(widen_run);
}

}  // namespace

void convert(const ConvertArgs& args, const Context& context) {
  const Run run = choose_run(args.from.dtype, args.to.dtype);
  const std::size_t rows = args.from.shape[0], columns = args.from.shape[1];
  const std::size_t from_pitch = args.from.strides[0] * size_of(args.from.dtype);
  const std::size_t to_pitch = args.to.strides[0] * size_of(args.to.dtype);
  const auto* from = static_cast<const std::byte*>(args.from.data);
  auto* to = static_cast<std::byte*>(args.to.data);
  const bool dense = args.from.strides[0] == columns && args.to.strides[0] == columns;
  for_each_row_block(rows, columns, context.threads, [&](std::size_t first, std::size_t last) {
    if (dense) return run(from + first * from_pitch, to + first * to_pitch, (last - first) * columns);
    for (std::size_t i = first; i < last; ++i) run(from + i * from_pitch, to + i * to_pitch, columns);
  });
}

}  // namespace lexiscope::cpu
#endif
