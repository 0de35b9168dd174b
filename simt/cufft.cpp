// cuFFT as far as the project uses it: plans for transforms of real numbers in f32, with the caller's work area, on a
// stream. Each call checks its arguments; a transform checks its memory when it is called.
#include <cufft.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "simt/cufft_transform.h"
#include "simt/runtime_call.h"

using namespace lexiscope::simt;

namespace {

struct FftRefusal {
  cufftResult status;
};

void require(bool condition, cufftResult otherwise) {
  if (!condition) throw FftRefusal{otherwise};
}

struct FftPlan {
  std::optional<FftShape> shape;  // once it is made
  cufftType type = CUFFT_R2C;
  bool allocates = true;
  cudaStream_t stream = nullptr;
  void* work_area = nullptr;

  // As much as the transformed data, which is what cuFFT asks for where its passes do not fit one kernel.
  std::size_t work_bytes() const { return shape->batches * sizeof(cufftComplex) * complex_elements(); }
  std::size_t complex_elements() const {
    std::size_t count = shape->lengths.back() / 2 + 1;
    for (std::size_t axis = 0; axis + 1 < shape->lengths.size(); ++axis) count *= shape->lengths[axis];
    return count;
  }
};

class Plans {
 public:
  cufftHandle create() {
    const std::lock_guard lock(mutex_);
    plans_.emplace(++last_, FftPlan{});
    ++runtime().fft_plans;
    return last_;
  }
  FftPlan& at(cufftHandle handle) {
    const std::lock_guard lock(mutex_);
    const auto found = plans_.find(handle);
    require(found != plans_.end(), CUFFT_INVALID_PLAN);
    return found->second;
  }
  void destroy(cufftHandle handle) {
    const std::lock_guard lock(mutex_);
    require(plans_.erase(handle) == 1, CUFFT_INVALID_PLAN);
    --runtime().fft_plans;
  }

 private:
  std::mutex mutex_;
  std::map<cufftHandle, FftPlan> plans_;
  cufftHandle last_ = 0;
};

Plans& plans() {
  static auto* const all = std::make_unique<Plans>().release();
  return *all;
}

template <typename Body>
cufftResult status_of(Body&& body) noexcept {
  try {
    body();
    return CUFFT_SUCCESS;
  } catch (const FftRefusal& refusal) {
    return refusal.status;
  } catch (const Refusal&) {
    return CUFFT_EXEC_FAILED;  // the runtime refused what cuFFT asked of it
  } catch (const std::bad_alloc&) {
    return CUFFT_ALLOC_FAILED;
  } catch (...) {
    return CUFFT_INTERNAL_ERROR;
  }
}

cufftResult obstacle_to(const char* function) {
  if (const auto failure = runtime().failures.next(function, CUFFT_INTERNAL_ERROR))
    return static_cast<cufftResult>(*failure);
  if (runtime().device.availability() != cudaSuccess) return CUFFT_SETUP_FAILED;
  return runtime().errors.sticky() == cudaSuccess ? CUFFT_SUCCESS : CUFFT_EXEC_FAILED;
}

template <typename Body>
cufftResult fft_call(const char* function, Body&& body) noexcept {
  return status_of([&] {
    const cufftResult obstacle = obstacle_to(function);
    require(obstacle == CUFFT_SUCCESS, obstacle);
    body();
  });
}

// Lengths as int arrays have them; one that is left out is dense.
FftLayout layout_of(int rank, const int* embed, int stride, int distance, const std::vector<std::size_t>& dense) {
  FftLayout layout;
  if (embed == nullptr) {
    layout.embed = dense;
    layout.distance = 1;
    for (const std::size_t extent : dense) layout.distance *= extent;
    return layout;
  }
  require(stride > 0 && distance > 0, CUFFT_INVALID_VALUE);
  for (int axis = 0; axis < rank; ++axis) {
    require(embed[axis] > 0 && (axis == 0 || static_cast<std::size_t>(embed[axis]) >= dense[axis]),
            CUFFT_INVALID_VALUE);
    layout.embed.push_back(static_cast<std::size_t>(embed[axis]));
  }
  layout.stride = static_cast<std::size_t>(stride);
  layout.distance = static_cast<std::size_t>(distance);
  return layout;
}

// Bytes from the first element to the last.
std::size_t span(const FftLayout& layout, std::vector<std::size_t> extents, std::size_t batches, std::size_t element) {
  for (std::size_t& extent : extents) --extent;
  return (layout.offset(batches - 1, extents) + 1) * element;
}

void check_memory(const void* data, std::size_t bytes) {
  require(data != nullptr && reinterpret_cast<std::uintptr_t>(data) % alignof(cufftComplex) == 0, CUFFT_INVALID_VALUE);
  require(runtime().memory.covers(data, bytes), CUFFT_INVALID_VALUE);
}

struct Extents {
  std::vector<std::size_t> real, complex;
};
Extents extents_of(const FftShape& shape) {
  Extents extents{shape.lengths, shape.lengths};
  extents.complex.back() = shape.lengths.back() / 2 + 1;
  return extents;
}

const FftPlan& ready_plan(cufftHandle handle, cufftType type) {
  const FftPlan& plan = plans().at(handle);
  require(plan.shape.has_value() && plan.type == type, CUFFT_INVALID_PLAN);
  require(plan.work_area != nullptr, CUFFT_NO_WORKSPACE);
  check_memory(plan.work_area, plan.work_bytes());
  return plan;
}

}  // namespace

cufftResult cufftGetVersion(int* version) {
  if (version == nullptr) return CUFFT_INVALID_VALUE;
  *version = CUFFT_VERSION;
  return CUFFT_SUCCESS;
}

cufftResult cufftCreate(cufftHandle* handle) {
  return fft_call("cufftCreate", [&] {
    require(handle != nullptr, CUFFT_INVALID_VALUE);
    *handle = plans().create();
  });
}

cufftResult cufftSetAutoAllocation(cufftHandle handle, int allocates) {
  return fft_call("cufftSetAutoAllocation", [&] {
    FftPlan& plan = plans().at(handle);
    require(!plan.shape, CUFFT_INVALID_PLAN);
    plan.allocates = allocates != 0;
  });
}

// A work area of its own it does not allocate: callers here bring theirs.
cufftResult cufftMakePlanMany(cufftHandle handle, int rank, int* lengths, int* input_embed, int input_stride,
                              int input_distance, int* output_embed, int output_stride, int output_distance,
                              cufftType type, int batches, size_t* work_bytes) {
  return fft_call("cufftMakePlanMany", [&] {
    FftPlan& plan = plans().at(handle);
    require(!plan.shape, CUFFT_INVALID_PLAN);
    require(!plan.allocates, CUFFT_NOT_IMPLEMENTED);
    require(type == CUFFT_R2C || type == CUFFT_C2R, CUFFT_NOT_SUPPORTED);
    require(rank >= 1 && rank <= 3 && lengths != nullptr && work_bytes != nullptr, CUFFT_INVALID_VALUE);
    require(batches >= 1 && std::all_of(lengths, lengths + rank, [](int length) { return length > 0; }),
            CUFFT_INVALID_SIZE);
    require((input_embed == nullptr) == (output_embed == nullptr), CUFFT_INVALID_VALUE);
    FftShape shape;
    shape.lengths.assign(lengths, lengths + rank);
    shape.batches = static_cast<std::size_t>(batches);
    const Extents extents = extents_of(shape);
    const bool forward = type == CUFFT_R2C;
    shape.input = layout_of(rank, input_embed, input_stride, input_distance, forward ? extents.real : extents.complex);
    shape.output =
        layout_of(rank, output_embed, output_stride, output_distance, forward ? extents.complex : extents.real);
    plan.shape = shape;
    plan.type = type;
    *work_bytes = plan.work_bytes();
  });
}

cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream) {
  return fft_call("cufftSetStream", [&] {
    runtime().streams.check_stream(stream);
    plans().at(handle).stream = stream;
  });
}

cufftResult cufftSetWorkArea(cufftHandle handle, void* work_area) {
  return fft_call("cufftSetWorkArea", [&] {
    FftPlan& plan = plans().at(handle);
    require(plan.shape.has_value(), CUFFT_INVALID_PLAN);
    check_memory(work_area, plan.work_bytes());
    plan.work_area = work_area;
  });
}

cufftResult cufftExecR2C(cufftHandle handle, cufftReal* input, cufftComplex* output) {
  return fft_call("cufftExecR2C", [&] {
    const FftPlan& plan = ready_plan(handle, CUFFT_R2C);
    const FftShape& shape = *plan.shape;
    const Extents extents = extents_of(shape);
    check_memory(input, span(shape.input, extents.real, shape.batches, sizeof(cufftReal)));
    check_memory(output, span(shape.output, extents.complex, shape.batches, sizeof(cufftComplex)));
    runtime().streams.enqueue(plan.stream, [shape, input, output] {
      transform_real(shape, input, reinterpret_cast<std::complex<float>*>(output));
    });
  });
}

cufftResult cufftExecC2R(cufftHandle handle, cufftComplex* input, cufftReal* output) {
  return fft_call("cufftExecC2R", [&] {
    const FftPlan& plan = ready_plan(handle, CUFFT_C2R);
    const FftShape& shape = *plan.shape;
    const Extents extents = extents_of(shape);
    check_memory(input, span(shape.input, extents.complex, shape.batches, sizeof(cufftComplex)));
    check_memory(output, span(shape.output, extents.real, shape.batches, sizeof(cufftReal)));
    runtime().streams.enqueue(plan.stream, [shape, input, output] {
      transform_to_real(shape, reinterpret_cast<const std::complex<float>*>(input), output);
    });
  });
}

// The plan goes whatever else is wrong.
cufftResult cufftDestroy(cufftHandle handle) {
  const cufftResult obstacle =
      status_of([&] { require(obstacle_to("cufftDestroy") == CUFFT_SUCCESS, CUFFT_INTERNAL_ERROR); });
  const cufftResult destroyed = status_of([&] { plans().destroy(handle); });
  return obstacle == CUFFT_SUCCESS ? destroyed : obstacle;
}
