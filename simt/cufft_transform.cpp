#include "simt/cufft_transform.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace lexiscope::simt {
namespace {

using Complex = std::complex<double>;

// Stockham's transform of one length, a pass for each prime factor (4 counts as one).
class Line {
 public:
  Line(std::size_t length, double sign) : length_(length), other_(length), roots_(length) {
    for (std::size_t rest = length, radix = 4; rest > 1;) {
      if (rest % radix == 0) {
        radices_.push_back(radix);
        rest /= radix;
      } else {
        radix = radix == 4 ? 2 : radix == 3 ? 5 : radix + 1;
      }
    }
    for (std::size_t k = 0; k < length; ++k)
      roots_[k] = std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(length));
  }

  std::size_t length() const { return length_; }

  void transform(std::vector<Complex>& values) {
    std::size_t left = length_, stride = 1;  // left * stride == length
    for (const std::size_t radix : radices_) {
      pass(values, radix, left / radix, stride);
      values.swap(other_);
      left /= radix;
      stride *= radix;
    }
  }

 private:
  // other[q + stride (radix p + j)] = (sum_k values[q + stride (p + parts k)] w_radix^(jk)) w_left^(pj)
  void pass(const std::vector<Complex>& values, std::size_t radix, std::size_t parts, std::size_t stride) {
    for (std::size_t p = 0; p < parts; ++p)
      for (std::size_t j = 0; j < radix; ++j) {
        const Complex turn = roots_[p * j * stride % length_];
        for (std::size_t q = 0; q < stride; ++q) {
          Complex sum = values[q + stride * p];
          for (std::size_t k = 1; k < radix; ++k)
            sum += product(values[q + stride * (p + parts * k)], roots_[j * k % radix * (length_ / radix)]);
          other_[q + stride * (radix * p + j)] = product(sum, turn);
        }
      }
  }

  // Without the cases of infinities that std::complex has.
  static Complex product(const Complex& a, const Complex& b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }

  std::size_t length_;
  std::vector<std::size_t> radices_;
  std::vector<Complex> other_, roots_;
};

// Frequencies of a dense array in row order; the innermost axis has half of them.
struct Half {
  std::vector<std::size_t> extents;
  std::vector<std::complex<float>> values;

  explicit Half(const std::vector<std::size_t>& lengths) : extents(lengths) {
    extents.back() = lengths.back() / 2 + 1;
    std::size_t count = 1;
    for (const std::size_t extent : extents) count *= extent;
    values.resize(count);
  }
  std::size_t rows() const { return values.size() / extents.back(); }
  std::complex<float>* row(std::size_t index) { return values.data() + index * extents.back(); }
};

// The place of row number `row`, all axes but the innermost.
std::vector<std::size_t> row_index(const std::vector<std::size_t>& lengths, std::size_t row) {
  std::vector<std::size_t> index(lengths.size());
  for (std::size_t axis = lengths.size() - 1; axis-- > 0; row /= lengths[axis]) index[axis] = row % lengths[axis];
  return index;
}

// All axes but the innermost, one after the other. Lines of zeros stay what they are.
void transform_outer_axes(Half& half, double sign) {
  std::size_t inner = half.extents.back();
  for (std::size_t axis = half.extents.size() - 1; axis-- > 0;) {
    Line line(half.extents[axis], sign);
    std::vector<Complex> values(line.length());
    const std::size_t block = inner * line.length();
    for (std::size_t first = 0; first < half.values.size(); first += block)
      for (std::size_t at = first; at < first + inner; ++at) {
        bool zero = true;
        for (std::size_t k = 0; k < line.length(); ++k) {
          const auto& value = half.values[at + k * inner];
          zero = zero && value == 0.0f;
          values[k] = value;
        }
        if (zero) continue;
        line.transform(values);
        for (std::size_t k = 0; k < line.length(); ++k) half.values[at + k * inner] = std::complex<float>(values[k]);
      }
    inner = block;
  }
}

}  // namespace

void transform_real(const FftShape& shape, const float* input, std::complex<float>* output) {
  const std::size_t length = shape.lengths.back();
  Line line(length, -1);
  std::vector<Complex> values(length);
  for (std::size_t batch = 0; batch < shape.batches; ++batch) {
    Half half(shape.lengths);
    for (std::size_t row = 0; row < half.rows(); ++row) {
      const float* const from = input + shape.input.offset(batch, row_index(shape.lengths, row));
      bool zero = true;
      for (std::size_t k = 0; k < length; ++k) {
        zero = zero && from[k * shape.input.stride] == 0;
        values[k] = from[k * shape.input.stride];
      }
      if (zero) continue;
      line.transform(values);
      std::transform(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half.extents.back()), half.row(row),
                     [](const Complex& value) { return std::complex<float>(value); });
    }
    transform_outer_axes(half, -1);
    for (std::size_t row = 0; row < half.rows(); ++row) {
      auto* const to = output + shape.output.offset(batch, row_index(shape.lengths, row));
      for (std::size_t k = 0; k < half.extents.back(); ++k) to[k * shape.output.stride] = half.row(row)[k];
    }
  }
}

void transform_to_real(const FftShape& shape, const std::complex<float>* input, float* output) {
  const std::size_t length = shape.lengths.back();
  Line line(length, 1);
  std::vector<Complex> values(length);
  for (std::size_t batch = 0; batch < shape.batches; ++batch) {
    Half half(shape.lengths);
    for (std::size_t row = 0; row < half.rows(); ++row) {
      const auto* const from = input + shape.input.offset(batch, row_index(shape.lengths, row));
      for (std::size_t k = 0; k < half.extents.back(); ++k) half.row(row)[k] = from[k * shape.input.stride];
    }
    transform_outer_axes(half, 1);
    for (std::size_t row = 0; row < half.rows(); ++row) {
      for (std::size_t k = 0; k < length; ++k)
        values[k] = k < half.extents.back() ? Complex(half.row(row)[k]) : std::conj(Complex(half.row(row)[length - k]));
      line.transform(values);
      float* const to = output + shape.output.offset(batch, row_index(shape.lengths, row));
      for (std::size_t k = 0; k < length; ++k) to[k * shape.output.stride] = static_cast<float>(values[k].real());
    }
  }
}

}  // namespace lexiscope::simt
