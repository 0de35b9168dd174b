#include "simt/runtime_devices.h"

#include <cstring>

namespace lexiscope::simt {
namespace {

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kReservedSharedBytes = 1 * kKiB;  // of each block, the driver's own

// Multiprocessors, cache, clocks and bus as the cards' data sheets have them; the limits a multiprocessor as the CUDA
// programming guide's table of compute capabilities has them.
struct Card {
  const char* name;
  int major, minor;
  int multiprocessors;
  std::size_t shared_bytes;  ///< of a multiprocessor
  int threads, blocks;       ///< at most on a multiprocessor
  std::size_t l2_bytes;
  int clock_khz, memory_clock_khz, memory_bus_bits;
};

const Card& card_of(Architecture architecture) {
  static constexpr Card kCards[] = {
      {"Emulated A100-SXM4-80GB", 8, 0, 108, 164 * kKiB, 2048, 32, 40960 * kKiB, 1410000, 1593000, 5120},
      {"Emulated GeForce RTX 3090", 8, 6, 82, 100 * kKiB, 1536, 16, 6144 * kKiB, 1695000, 9751000, 384},
      {"Emulated GeForce RTX 4090", 8, 9, 128, 100 * kKiB, 1536, 24, 73728 * kKiB, 2520000, 10501000, 384},
      {"Emulated H100-SXM5-80GB", 9, 0, 132, 228 * kKiB, 2048, 32, 51200 * kKiB, 1980000, 2619000, 5120},
      {"Emulated B200", 10, 0, 148, 228 * kKiB, 2048, 32, 129536 * kKiB, 1965000, 3996000, 8192},
      {"Emulated GeForce RTX 5090", 12, 0, 170, 100 * kKiB, 1536, 24, 98304 * kKiB, 2407000, 14001000, 512},
  };
  return kCards[static_cast<std::size_t>(architecture)];
}

}  // namespace

cudaDeviceProp device_properties(Architecture architecture, std::size_t memory_bytes) {
  const Card& card = card_of(architecture);
  cudaDeviceProp properties{};
  std::strncpy(properties.name, card.name, sizeof properties.name - 1);
  properties.major = card.major;
  properties.minor = card.minor;
  properties.totalGlobalMem = memory_bytes;
  properties.totalConstMem = 64 * kKiB;
  properties.multiProcessorCount = card.multiprocessors;
  properties.warpSize = 32;
  properties.maxThreadsPerBlock = 1024;
  properties.maxThreadsDim[0] = properties.maxThreadsDim[1] = 1024;
  properties.maxThreadsDim[2] = 64;
  properties.maxGridSize[0] = 0x7fffffff;
  properties.maxGridSize[1] = properties.maxGridSize[2] = 65535;
  properties.maxThreadsPerMultiProcessor = card.threads;
  properties.maxBlocksPerMultiProcessor = card.blocks;
  properties.regsPerBlock = properties.regsPerMultiprocessor = 65536;
  properties.sharedMemPerBlock = 48 * kKiB;
  properties.sharedMemPerBlockOptin = card.shared_bytes - kReservedSharedBytes;
  properties.sharedMemPerMultiprocessor = card.shared_bytes;
  properties.reservedSharedMemPerBlock = kReservedSharedBytes;
  properties.l2CacheSize = static_cast<int>(card.l2_bytes);
  properties.memoryBusWidth = card.memory_bus_bits;
  properties.memPitch = 0x7fffffff;
  properties.textureAlignment = 512;
  properties.texturePitchAlignment = 32;
  properties.asyncEngineCount = 2;
  properties.concurrentKernels = 1;
  properties.unifiedAddressing = 1;
  properties.canMapHostMemory = 1;
  properties.hostRegisterSupported = 1;
  properties.memoryPoolsSupported = 1;
  properties.streamPrioritiesSupported = 1;
  properties.cooperativeLaunch = 1;
  properties.clusterLaunch = card.major >= 9;
  return properties;
}

std::optional<int> device_attribute(Architecture architecture, const cudaDeviceProp& properties, cudaDeviceAttr name) {
  const Card& card = card_of(architecture);
  switch (name) {
    case cudaDevAttrMaxThreadsPerBlock:
      return properties.maxThreadsPerBlock;
    case cudaDevAttrMaxBlockDimX:
      return properties.maxThreadsDim[0];
    case cudaDevAttrMaxBlockDimY:
      return properties.maxThreadsDim[1];
    case cudaDevAttrMaxBlockDimZ:
      return properties.maxThreadsDim[2];
    case cudaDevAttrMaxGridDimX:
      return properties.maxGridSize[0];
    case cudaDevAttrMaxGridDimY:
      return properties.maxGridSize[1];
    case cudaDevAttrMaxGridDimZ:
      return properties.maxGridSize[2];
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(properties.sharedMemPerBlock);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(properties.sharedMemPerBlockOptin);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(properties.sharedMemPerMultiprocessor);
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return static_cast<int>(properties.reservedSharedMemPerBlock);
    case cudaDevAttrTotalConstantMemory:
      return static_cast<int>(properties.totalConstMem);
    case cudaDevAttrWarpSize:
      return properties.warpSize;
    case cudaDevAttrMaxPitch:
      return static_cast<int>(properties.memPitch);
    case cudaDevAttrMaxRegistersPerBlock:
      return properties.regsPerBlock;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return properties.regsPerMultiprocessor;
    case cudaDevAttrClockRate:
      return card.clock_khz;
    case cudaDevAttrMemoryClockRate:
      return card.memory_clock_khz;
    case cudaDevAttrGlobalMemoryBusWidth:
      return properties.memoryBusWidth;
    case cudaDevAttrL2CacheSize:
      return properties.l2CacheSize;
    case cudaDevAttrMultiProcessorCount:
      return properties.multiProcessorCount;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return properties.maxThreadsPerMultiProcessor;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return properties.maxBlocksPerMultiProcessor;
    case cudaDevAttrComputeCapabilityMajor:
      return properties.major;
    case cudaDevAttrComputeCapabilityMinor:
      return properties.minor;
    case cudaDevAttrConcurrentKernels:
      return properties.concurrentKernels;
    case cudaDevAttrAsyncEngineCount:
      return properties.asyncEngineCount;
    case cudaDevAttrUnifiedAddressing:
      return properties.unifiedAddressing;
    case cudaDevAttrCanMapHostMemory:
      return properties.canMapHostMemory;
    case cudaDevAttrHostRegisterSupported:
      return properties.hostRegisterSupported;
    case cudaDevAttrMemoryPoolsSupported:
      return properties.memoryPoolsSupported;
    case cudaDevAttrStreamPrioritiesSupported:
      return properties.streamPrioritiesSupported;
    case cudaDevAttrCooperativeLaunch:
      return properties.cooperativeLaunch;
    case cudaDevAttrClusterLaunch:
      return properties.clusterLaunch;
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrTccDriver:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrComputeMode:
      return 0;
    default:
      return std::nullopt;
  }
}

}  // namespace lexiscope::simt
