// Runs kernels on the emulator without the CUDA runtime, for tests of the emulator itself.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "simt/cuda.h"
#include "simt/device_memory.h"
#include "simt/fault.h"
#include "simt/grid.h"
#include "simt/kernel.h"

namespace lexiscope::test {

/// A vector that kernels may touch.
template <typename T>
class DeviceVector {
 public:
  explicit DeviceVector(std::vector<T> values) : values_(std::move(values)) {
    simt::add_device_allocation(values_.data(), values_.size() * sizeof(T));
  }
  explicit DeviceVector(std::size_t size) : DeviceVector(std::vector<T>(size)) {}
  DeviceVector(const DeviceVector&) = delete;
  DeviceVector& operator=(const DeviceVector&) = delete;
  ~DeviceVector() { simt::remove_device_allocation(values_.data()); }

  T* data() { return values_.data(); }
  const std::vector<T>& values() const { return values_; }
  T operator[](std::size_t i) const { return values_[i]; }

 private:
  std::vector<T> values_;
};

struct KernelShape {
  dim3 blocks = 1;
  dim3 threads = 32;
  std::size_t shared_bytes = 0;
};

template <typename... Parameters>
void run_kernel(void (*kernel)(Parameters...), const KernelShape& shape,
                std::type_identity_t<Parameters>... arguments) {
  simt::register_kernel("tested", kernel);
  void* pointers[] = {&arguments..., nullptr};
  const simt::Kernel& known = *simt::find_kernel(reinterpret_cast<const void*>(kernel));
  simt::run_grid({.kernel = &known,
                  .grid = shape.blocks,
                  .block = shape.threads,
                  .shared_bytes = shape.shared_bytes,
                  .arguments = simt::KernelArguments(known, pointers)});
}

/// The fault that `run` ends with; a test failure where it ends without.
template <typename Run>
simt::Fault fault_of(const Run& run) {
  try {
    run();
  } catch (const simt::Fault& fault) {
    return fault;
  }
  ADD_FAILURE() << "no fault";
  return {simt::FaultKind::kInvalidLaunch, "", {}, {}, "no fault"};
}

/// Runs the rest of a scope under other orders of threads and blocks.
class ScopedSchedule {
 public:
  explicit ScopedSchedule(const simt::ScheduleOptions& options) : before_(simt::schedule()) {
    simt::set_schedule(options);
  }
  ~ScopedSchedule() { simt::set_schedule(before_); }
  ScopedSchedule(const ScopedSchedule&) = delete;
  ScopedSchedule& operator=(const ScopedSchedule&) = delete;

 private:
  simt::ScheduleOptions before_;
};

/// Every kind of order, a few seeds of the random one.
inline std::vector<simt::ScheduleOptions> schedules() {
  using simt::BlockOrder, simt::ThreadSchedule;
  return {{.threads = ThreadSchedule::kFair, .blocks = BlockOrder::kForward},
          {.threads = ThreadSchedule::kReverse, .blocks = BlockOrder::kReverse},
          {.threads = ThreadSchedule::kGreedyWarps, .blocks = BlockOrder::kForward, .workers = 1},
          {.threads = ThreadSchedule::kRandom, .blocks = BlockOrder::kRandom, .seed = 1},
          {.threads = ThreadSchedule::kRandom, .blocks = BlockOrder::kRandom, .seed = 2}};
}

}  // namespace lexiscope::test
