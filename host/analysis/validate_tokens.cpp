// The operations on single tokens against the reference. Bounds in units of u = 2^-24, for one element at a time; the
// reference's own rounding to f32 is among them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/analysis/validation_run.h"

namespace lexiscope {
namespace {

constexpr double kSmallestF32 = 0x1p-149;

}  // namespace

// A root of squares summed in double and inverted rounds once to f32, both products once each, and so does the store
// on the other side; the fifth unit is for the double sums and what is of second order.
void validate_rms_norm(ValidationRun& run) {
  for (const double mean : {0.0, 1e30})
    for (const std::size_t rows : {1, 33})
      for (const std::size_t d : {1, 2, 17, 129, 384}) {
        run.start(fmt::format("T {}, d {}, mean {}", rows, d, mean));
        const auto x = run.normal(rows * d, mean), gain = run.normal(d, 1);
        std::vector<float> got(rows * d), want(rows * d);
        const auto apply = [&](Engine& engine, std::vector<float>& y) {
          engine.rms_norm({.x = {x.data(), rows, d, d}, .gain = {gain.data(), d}, .y = {y.data(), rows, d, d}});
        };
        apply(run.engine, got);
        apply(run.reference, want);
        for (std::size_t i = 0; i < got.size(); ++i)
          run.add(got[i], want[i], 5 * kUnitF32 * std::abs(want[i]) + 2 * kSmallestF32);
      }
}

// Two roundings of each product and their sum, one of the reference's store, relative to |a cos| + |b sin|.
void validate_rotary_embedding(ValidationRun& run) {
  for (const RotaryLayout layout : {RotaryLayout::halves, RotaryLayout::interleaved})
    for (const std::size_t pairs : {1, 8, 17, 32})
      for (const std::size_t head_size : {2 * pairs, 2 * pairs + 3}) {
        constexpr std::size_t kRows = 33, kHeads = 3;
        const std::size_t width = kHeads * head_size;
        run.start(fmt::format("T {}, {} heads of {}, {} pairs, {}", kRows, kHeads, head_size, pairs,
                              layout == RotaryLayout::halves ? "halves" : "interleaved"));
        const auto x = run.normal(kRows * width), cosine = run.normal(kRows * pairs), sine = run.normal(kRows * pairs);
        auto got = x, want = x;
        const auto apply = [&](Engine& engine, std::vector<float>& values) {
          engine.rotary_embedding({.x = {values.data(), kRows, width, width},
                                   .heads = kHeads,
                                   .cosine = {cosine.data(), kRows, pairs, pairs},
                                   .sine = {sine.data(), kRows, pairs, pairs},
                                   .layout = layout});
        };
        apply(run.engine, got);
        apply(run.reference, want);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t t = i / width, at = i % head_size;
          double bound = 0;  // beyond the pairs nothing may change
          if (at < 2 * pairs) {
            const bool halves = layout == RotaryLayout::halves;
            const std::size_t pair = halves ? at % pairs : at / 2;
            const bool first = halves ? at < pairs : at % 2 == 0;
            const std::size_t step = halves ? pairs : 1, other = first ? i + step : i - step;
            const double terms =
                std::abs(double(x[i]) * cosine[t * pairs + pair]) + std::abs(double(x[other]) * sine[t * pairs + pair]);
            bound = 4 * kUnitF32 * terms + 4 * kSmallestF32;
          }
          run.add(got[i], want[i], bound);
        }
      }
}

// Sums of d products in double, v = 2^-53: norms and their ratio are off by (d + 6) v relative and u of the store, a
// cosine by (2 d + 6) v, since its products' magnitudes sum to at most |a| |b|. Both sides err.
void validate_drift(ValidationRun& run) {
  for (const double scale : {1.0, 1e30})
    for (const std::size_t rows : {1, 33})
      for (const std::size_t d : {1, 2, 17, 129, 384}) {
        run.start(fmt::format("T {}, d {}, scale {}", rows, d, scale));
        const auto before = run.normal(rows * d, 0, scale);
        auto after = before;
        for (float& value : after) value += run.normal(1, 0, 1e-3 * scale)[0];
        struct Result {
          std::vector<float> norm, relative, cosine;
        };
        const auto apply = [&](Engine& engine) {
          Result result{std::vector<float>(rows), std::vector<float>(rows), std::vector<float>(rows)};
          engine.drift({.before = {before.data(), rows, d, d},
                        .after = {after.data(), rows, d, d},
                        .norm = {result.norm.data(), rows},
                        .relative = {result.relative.data(), rows},
                        .cosine = {result.cosine.data(), rows}});
          return result;
        };
        const Result got = apply(run.engine), want = apply(run.reference);
        const double sums = 2 * static_cast<double>(d + 6) * kUnitF64;
        for (std::size_t t = 0; t < rows; ++t) {
          run.add(got.norm[t], want.norm[t], (sums + 2 * kUnitF32) * want.norm[t]);
          run.add(got.relative[t], want.relative[t], (sums + 2 * kUnitF32) * want.relative[t]);
          run.add(got.cosine[t], want.cosine[t], 2 * sums + 2 * kUnitF32 * std::abs(want.cosine[t]));
        }
      }
}

// Exact: both engines give the one nearest value.
void validate_convert(ValidationRun& run) {
  for (const std::size_t rows : {1, 33})
    for (const std::size_t columns : {1, 17, 129, 384}) {
      run.start(fmt::format("[{}, {}], f32 to bf16 and back", rows, columns));
      const std::size_t shape[] = {rows, columns};
      const auto x = run.normal(rows * columns);
      const auto there_and_back = [&](Engine& engine) {
        std::vector<std::uint16_t> narrow(x.size());
        std::vector<float> wide(x.size()), copy(x.size());
        const TensorView half = dense_view<void>(narrow.data(), DType::bf16, shape);
        const TensorView full = dense_view<void>(wide.data(), DType::f32, shape);
        engine.convert({.from = dense_view<const void>(x.data(), DType::f32, shape), .to = half});
        engine.convert({.from = half, .to = full});
        engine.convert({.from = full, .to = dense_view<void>(copy.data(), DType::f32, shape)});
        return copy;
      };
      const auto got = there_and_back(run.engine), want = there_and_back(run.reference);
      for (std::size_t i = 0; i < x.size(); ++i) run.add(got[i], want[i], 0);
    }
}

}  // namespace lexiscope
