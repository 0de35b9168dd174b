// What tests ask of the device on the emulator: that nothing is left on it, and what a call that may fail throws.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "lexiscope/error.h"
#include "simt/runtime.h"

namespace lexiscope::testing {

/// No memory, stream, event, graph, nor anything of a library.
inline void expect_nothing_held() {
  const simt::Counters held = simt::counters();
  EXPECT_EQ(held.device_allocations, 0u);
  EXPECT_EQ(held.device_bytes, 0u);
  EXPECT_EQ(held.pinned_allocations, 0u);
  EXPECT_EQ(held.streams, 0u);
  EXPECT_EQ(held.events, 0u);
  EXPECT_EQ(held.blas_handles, 0u);
  EXPECT_EQ(held.blas_descriptors, 0u);
  EXPECT_EQ(held.solver_handles, 0u);
  EXPECT_EQ(held.graphs, 0u);
  EXPECT_EQ(held.fft_plans, 0u);
}

/// Begins with a fresh device and leaves nothing behind on it.
class EmulatedDeviceTest : public ::testing::Test {
 protected:
  EmulatedDeviceTest() { simt::reset(); }
  ~EmulatedDeviceTest() override {
    expect_nothing_held();
    simt::reset();
  }
};

/// The error that the call throws, if it does.
template <typename Call>
std::optional<Error> failure_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

}  // namespace lexiscope::testing
