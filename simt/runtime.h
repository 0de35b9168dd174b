// What tests ask of the stand-in for the CUDA runtime: which device it shows, when streams execute, which calls fail,
// what is still held. The calls themselves are NVIDIA's own, declared by <cuda_runtime.h>.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cufft.h>
#include <cusolver_common.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace lexiscope::simt {

/// Each shows one card of that architecture: A100, RTX 3090, RTX 4090, H100, B200, RTX 5090.
enum class Architecture { kSm80, kSm86, kSm89, kSm90, kSm100, kSm120 };

/// The memory shown by default is far below the card's own: device memory is host memory, and filled when allocated.
constexpr std::size_t kDefaultMemoryBytes = std::size_t{2} << 30;

/// Chooses the device that the runtime shows. What exists on it already stays.
void set_device(Architecture architecture, std::size_t memory_bytes = kDefaultMemoryBytes);

/// None or one.
void set_device_count(int count);
/// As cudaDriverGetVersion gives it: 0 where no driver is installed.
void set_driver_version(int version);

/// Limits what allocations may take together; one that would go beyond fails as it does on a full device.
void set_memory_limit(std::size_t bytes);

/// When the operations of streams execute. In both schedules they execute on a thread of their own, one at a time, and
/// among those that no order holds back the youngest goes first: a missing event between two streams shows.
enum class StreamSchedule {
  kLazy,   ///< only once a call waits for them or asks after them: a missing synchronisation shows. The default.
  kEager,  ///< as soon as their order allows, while the host goes on
};
void set_stream_schedule(StreamSchedule schedule);

/// Makes the `nth` call from now (counted from 1) of `function` return `code`, once. Calls that release something
/// release it nevertheless, so that what is still held afterwards is the caller's leak.
void fail_call(const std::string& function, int nth, cudaError_t code);
void fail_call(const std::string& function, int nth, cublasStatus_t code);
void fail_call(const std::string& function, int nth, cusolverStatus_t code);
void fail_call(const std::string& function, int nth, cufftResult code);
/// The same for the `nth` call of any function: cudaErrorUnknown, or the library's own internal error.
void fail_call(int nth);
/// Forgets the failures that have not happened.
void clear_failures();

/// Makes the next eigendecomposition tell this as its info, where 0 means that it converged.
void set_next_eigen_info(int info);

/// What is held now, and what has happened since the last reset().
struct Counters {
  std::size_t device_allocations = 0;
  std::size_t device_bytes = 0;
  std::size_t pinned_allocations = 0;
  std::size_t streams = 0;
  std::size_t events = 0;
  std::size_t blas_handles = 0;      ///< of cuBLAS and cuBLASLt
  std::size_t blas_descriptors = 0;  ///< cuBLASLt's products, layouts and preferences
  std::size_t solver_handles = 0;    ///< cuSOLVER's, and its parameters
  std::size_t graphs = 0;            ///< captured, and ready to launch
  std::size_t fft_plans = 0;         ///< of cuFFT
  std::size_t pending = 0;           ///< operations enqueued and not executed

  std::size_t peak_device_bytes = 0;
  std::size_t calls = 0;             ///< those that fail_call counts
  std::size_t allocations = 0;       ///< of device memory
  std::size_t launches = 0;          ///< of kernels
  std::size_t synchronizations = 0;  ///< times that the host waited for the device
};
Counters counters();

/// What the device fault behind the sticky error was; empty where there is none.
std::string last_fault();

/// Executes what is pending, releases everything, clears errors, failures and counters, and shows an A100 again.
void reset();

}  // namespace lexiscope::simt
