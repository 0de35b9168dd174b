// The linear algebra of a vocabulary: rows are streamed from the host, centred and widened to double by kernels of
// ours, and multiplied by cuBLAS; cuSOLVER has the eigenvectors.
//
// All of it is in double on every device, also where double is slow (a 64th of f32's rate on compute
// capability 8.6, 8.9 and 12.0): the bounds of docs/numerics.md are those of double, which products of f32 do not meet,
// not in blocks either, since a product of two f32 has 48 bits. What that costs there is little: 250,000 rows of 768
// are 1.5e11 operations, about a tenth of a second at 1.3e12 a second, and 0.8 GB of rows take some 30 ms to arrive.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "host/core/control.h"
#include "host/core/require.h"
#include "host/engines/cuda/cuda_engine.h"
#include "host/engines/cuda/linear_algebra.h"
#include "host/engines/cuda/row_stream.h"
#include "kernels/cuda/centered_rows.h"
#include "kernels/cuda/cosine_statistics.h"
#include "kernels/cuda/covariance.h"
#include "kernels/cuda/eigendecomposition.h"
#include "kernels/cuda/projection.h"

namespace lexiscope::cuda {
namespace {

template <typename Element>
std::span<std::byte> bytes_of(Element* first, std::size_t count) {
  return std::as_writable_bytes(std::span(first, count));
}

/// The largest and the least log Z over all directions and both sides, of partitions that were copied to the host.
double isotropy_of(const double* partitions, std::size_t m) {
  if (m == 0) return std::numeric_limits<double>::quiet_NaN();
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (const double* side : {partitions, partitions + 2 * m})
    for (std::size_t j = 0; j < m; ++j) {
      const double log_z = side[j] + std::log(side[m + j]);
      least = std::min(least, log_z);
      most = std::max(most, log_z);
    }
  return std::exp(least - most);
}

/// From RowSums and Partitions of all rows, one behind the other, that were copied to the host.
CosineStatistics statistics_of(const std::vector<double>& sums, std::size_t rows, std::size_t d, std::size_t m) {
  const auto n = static_cast<double>(rows);
  const double norms = sums[2 * d], nonzero = sums[2 * d + 1];
  double mean_squares = 0, unit_squares = 0;
  for (std::size_t a = 0; a < d; ++a) {
    mean_squares += sums[a] / n * (sums[a] / n);
    unit_squares += sums[d + a] * sums[d + a];
  }
  return {.mean_norm = norms / n,
          .norm_of_mean = std::sqrt(mean_squares),
          .mean_cosine = rows < 2 ? 0 : (unit_squares - nonzero) / (n * (n - 1)),
          .isotropy = isotropy_of(sums.data() + RowSums::size(d), m)};
}

}  // namespace

LinearAlgebra& CudaEngine::linear_algebra() {
  if (!linear_algebra_) linear_algebra_ = std::make_unique<LinearAlgebra>(device_, stream_);
  return *linear_algebra_;
}

RowStream& CudaEngine::row_stream() {
  if (!row_stream_) row_stream_ = std::make_unique<RowStream>(device_, pool_, stream_);
  return *row_stream_;
}

std::shared_ptr<double> CudaEngine::allocate_doubles(std::size_t count) {
  const auto memory = pool_->allocate(count * sizeof(double));
  return {memory, static_cast<double*>(memory.get())};
}

void CudaEngine::do_covariance(const CovarianceArgs& args) {
  const std::size_t n = args.x.rows, d = args.x.columns;
  const std::size_t chunk = rows_of_chunk(n, d, options_.row_chunk_bytes);
  const auto sums = allocate_doubles(d), workspace = allocate_doubles(add_to_mean_workspace(chunk, d)),
             centered = allocate_doubles(chunk * d);
  run([&] {
    const Control stop_only{.stop = args.control ? args.control->stop : std::stop_token{}, .progress = {}};
    stream_->fill_with_zeros(sums.get(), d * sizeof(double));
    row_stream().for_each_chunk(args.x, chunk, &stop_only, [&](std::size_t, MatrixView<const float> rows) {
      add_to_mean(rows, choose_column_slices(rows.rows), sums.get(), workspace.get(), stream());
    });
    finish_mean(sums.get(), n, args.mean, stream());

    const VectorView<const double> center = args.centered ? args.mean : VectorView<double>{};
    row_stream().for_each_chunk(args.x, chunk, args.control, [&](std::size_t first, MatrixView<const float> rows) {
      centered_rows(rows, center, centered.get(), stream());
      linear_algebra().add_outer_products({centered.get(), rows.rows, d, d}, first == 0, args.covariance);
    });
    finish_covariance(args.covariance, n, stream());
  });
}

void CudaEngine::do_projection(const ProjectionArgs& args) {
  const std::size_t n = args.x.rows, d = args.x.columns;
  const std::size_t k = args.components.rows, chunk = rows_of_chunk(n, std::max(d, k), options_.row_chunk_bytes);
  const auto centered = allocate_doubles(chunk * d), scores = allocate_doubles(chunk * k);
  run([&] {
    row_stream().for_each_chunk(args.x, chunk, args.control, [&](std::size_t first, MatrixView<const float> rows) {
      centered_rows(rows, args.mean, centered.get(), stream());
      linear_algebra().multiply({centered.get(), rows.rows, d, d}, args.components, scores.get());
      round_scores(scores.get(), args.scores.rows_from(first, rows.rows), stream());
    });
  });
}

// Waits: the host finishes what the rows add up to.
CosineStatistics CudaEngine::do_cosine_statistics(const CosineStatisticsArgs& args) {
  const std::size_t n = args.x.rows, d = args.x.columns;
  const std::size_t m = args.directions.rows, chunk = rows_of_chunk(n, std::max(d, m), options_.row_chunk_bytes);
  std::vector<double> found(RowSums::size(d) + Partitions::size(m));
  const auto sums = allocate_doubles(found.size()),
             workspace =
                 allocate_doubles(std::max(add_to_row_sums_workspace(chunk, d), add_to_partitions_workspace(chunk, m)));
  const auto widened = allocate_doubles(m > 0 ? chunk * d : 0), products = allocate_doubles(chunk * m);
  run([&] {
    const Partitions partitions{sums.get() + RowSums::size(d), m};
    stream_->fill_with_zeros(sums.get(), found.size() * sizeof(double));
    row_stream().for_each_chunk(args.x, chunk, args.control, [&](std::size_t first, MatrixView<const float> rows) {
      const ColumnSlices slices = choose_column_slices(rows.rows);
      VectorView<float> norms = args.norms;
      if (!norms.empty()) norms = {norms.data + first, rows.rows};
      add_to_row_sums(rows, slices, norms, {sums.get(), d}, workspace.get(), stream());
      if (m == 0) return;
      centered_rows(rows, {}, widened.get(), stream());
      linear_algebra().multiply({widened.get(), rows.rows, d, d}, args.directions, products.get());
      add_to_partitions(products.get(), rows.rows, slices, first == 0, partitions, workspace.get(), stream());
    });
    if (!args.mean.empty()) finish_mean(sums.get(), n, args.mean, stream());
    stream_->copy_to_host(bytes_of(found.data(), found.size()), sums.get());
  });
  return statistics_of(found, n, d, m);
}

// By cuSOLVER's interface of 64 bits, whatever the size: one way for all is one that the tests take. With vectors even
// where none are asked for: without them the eigenvalues would come from another algorithm, in other bits. Waits twice:
// for what the matrix holds, and for whether the iteration converged.
void CudaEngine::do_eigendecomposition(const EigendecompositionArgs& args) {
  const std::size_t d = args.matrix.rows;
  if (d > std::numeric_limits<std::size_t>::max() / (d * sizeof(double)))
    fail(ErrorCode::kOutOfMemory, "out of device memory: the bytes of a matrix of [{}, {}] overflow", d, d);
  struct Status {
    unsigned long long first_not_finite = kAllFinite;
    int info = 0;
  };
  const auto matrix = allocate_doubles(d * d), values = allocate_doubles(d);
  const auto status_memory = pool_->allocate(sizeof(Status));
  auto* const status = static_cast<Status*>(status_memory.get());
  run([&] {
    const auto bytes = linear_algebra().eigen_workspace(d, matrix.get(), values.get());
    const auto workspace = allocate_workspace(bytes.device_bytes);
    const auto host_workspace = allocate_on_host(bytes.host_bytes);
    Status found;
    stream_->copy_to_device(status, bytes_of(&found, 1));
    copy_lower_triangle(args.matrix, matrix.get(), &status->first_not_finite, stream());
    stream_->copy_to_host(bytes_of(&found, 1), status);
    if (found.first_not_finite != kAllFinite) fail_not_finite(args.matrix, found.first_not_finite);

    try {
      linear_algebra().eigenvectors(d, matrix.get(), values.get(), workspace.get(), host_workspace.get(), bytes,
                                    &status->info);
      finish_eigendecomposition(args, values.get(), matrix.get(), stream());
      stream_->copy_to_host(bytes_of(&found, 1), status);
    } catch (...) {
      device_->ignore(cudaStreamSynchronize(stream()));  // cuSOLVER may still be at work in the host's memory
      throw;
    }
    if (found.info != 0)
      fail(ErrorCode::kInvalidArgument,
           "eigendecomposition: the iteration on a [{}, {}] matrix did not converge (cusolverDnXsyevd's info is {})", d,
           d, found.info);
  });
}

std::unique_ptr<std::byte[]> CudaEngine::allocate_on_host(std::size_t bytes) {
  std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[std::max<std::size_t>(bytes, 1)]);
  if (!memory) fail(ErrorCode::kOutOfMemory, "out of memory: {} bytes for cuSOLVER were asked for", bytes);
  return memory;
}

void CudaEngine::fail_not_finite(const MatrixView<const double>& matrix, unsigned long long place) {
  const std::size_t row = place / matrix.columns, column = place % matrix.columns;
  double value = 0;
  stream_->copy_to_host(bytes_of(&value, 1), matrix.row(row) + column);
  fail(ErrorCode::kInvalidArgument, "eigendecomposition: matrix has {} in row {}, column {}", value, row, column);
}

}  // namespace lexiscope::cuda
