// Where t-SNE's points start.
#pragma once

#include <cstdint>
#include <filesystem>

#include "lexiscope/tensor.h"

namespace lexiscope {

/// The first columns of `scores` about their mean, scaled so that the first has a standard deviation of 1e-4 (Kobak and
/// Berens 2019). All zero where the first score is the same for every point.
void start_from_scores(MatrixView<const float> scores, MatrixView<float> map);

/// Normal with standard deviation 1e-4, from a generator of our own: the same values on every machine and standard
/// library.
void start_at_random(std::uint64_t seed, MatrixView<float> map);

/// The positions in an .npy file, f32 or f64, row-major, as they are. Throws Error{kInvalidFile} where its shape is not
/// the map's, its type another, or it holds a NaN or infinity (names the row).
void start_from_file(const std::filesystem::path& path, MatrixView<float> map);

}  // namespace lexiscope
