// Shuffles, votes and reductions: each lane hands in its part and waits; the last one to arrive does the work of all.
#include <algorithm>
#include <string>

#include "simt/block.h"
#include "simt/device.h"
#include "simt/exchange.h"

namespace lexiscope::simt {
namespace {

struct ShuffleExchange : Exchange {
  std::uint64_t value;
  unsigned source;
  bool source_takes_part;
};

void do_shuffle(Exchange* const* lanes, std::uint32_t mask) {
  std::uint64_t values[kWarpSize];
  for_each_lane(mask, [&](unsigned lane) { values[lane] = static_cast<ShuffleExchange*>(lanes[lane])->value; });
  for_each_lane(mask, [&](unsigned lane) {
    auto& exchange = *static_cast<ShuffleExchange*>(lanes[lane]);
    exchange.source_takes_part = (mask >> exchange.source & 1) != 0;
    if (exchange.source_takes_part) exchange.value = values[exchange.source];
  });
}

// As the PTX ISA defines shfl.sync: a source outside the lane's group means the lane itself.
unsigned source_of(Shuffle mode, unsigned lane, int operand, int width) {
  const auto group = static_cast<unsigned>(width);
  const unsigned first = lane & ~(group - 1), last = first + group - 1;
  switch (mode) {
    case Shuffle::kFromLane:
      return first | (static_cast<unsigned>(operand) & (group - 1));
    case Shuffle::kUp: {
      const int source = static_cast<int>(lane) - operand;
      return source >= static_cast<int>(first) ? static_cast<unsigned>(source) : lane;
    }
    case Shuffle::kDown: {
      const unsigned source = lane + static_cast<unsigned>(operand);
      return source <= last ? source : lane;
    }
    default: {
      const unsigned source = lane ^ static_cast<unsigned>(operand);
      return source <= last ? source : lane;
    }
  }
}

const char* name_of(Shuffle mode) {
  switch (mode) {
    case Shuffle::kFromLane:
      return "__shfl_sync";
    case Shuffle::kUp:
      return "__shfl_up_sync";
    case Shuffle::kDown:
      return "__shfl_down_sync";
    default:
      return "__shfl_xor_sync";
  }
}

struct BallotExchange : Exchange {
  bool value;
  std::uint32_t result;
};

void do_ballot(Exchange* const* lanes, std::uint32_t mask) {
  std::uint32_t result = 0;
  for_each_lane(mask,
                [&](unsigned lane) { result |= static_cast<BallotExchange*>(lanes[lane])->value ? 1u << lane : 0u; });
  for_each_lane(mask, [&](unsigned lane) { static_cast<BallotExchange*>(lanes[lane])->result = result; });
}

template <typename T>
struct ReduceExchange : Exchange {
  T value;
};

template <typename T, typename Combine>
void reduce_lanes(Exchange* const* lanes, std::uint32_t mask, const Combine& combine) {
  auto result = static_cast<ReduceExchange<T>*>(lanes[__builtin_ctz(mask)])->value;
  for_each_lane(mask & (mask - 1),
                [&](unsigned lane) { result = combine(result, static_cast<ReduceExchange<T>*>(lanes[lane])->value); });
  for_each_lane(mask, [&](unsigned lane) { static_cast<ReduceExchange<T>*>(lanes[lane])->value = result; });
}

// A function for each operation, so that lanes that ask for different ones are seen to differ.
template <typename T>
WarpOperation operation_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::kAdd:  // wraps round, as on the device
      return [](Exchange* const* lanes, std::uint32_t mask) {
        reduce_lanes<T>(lanes, mask, [](T a, T b) {
          return static_cast<T>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
        });
      };
    case Reduction::kMin:
      return [](Exchange* const* lanes, std::uint32_t mask) {
        reduce_lanes<T>(lanes, mask, [](T a, T b) { return std::min(a, b); });
      };
    case Reduction::kMax:
      return [](Exchange* const* lanes, std::uint32_t mask) {
        reduce_lanes<T>(lanes, mask, [](T a, T b) { return std::max(a, b); });
      };
    case Reduction::kAnd:
      return [](Exchange* const* lanes, std::uint32_t mask) {
        reduce_lanes<T>(lanes, mask, [](T a, T b) -> T { return a & b; });
      };
    case Reduction::kOr:
      return [](Exchange* const* lanes, std::uint32_t mask) {
        reduce_lanes<T>(lanes, mask, [](T a, T b) -> T { return a | b; });
      };
    default:
      return [](Exchange* const* lanes, std::uint32_t mask) {
        reduce_lanes<T>(lanes, mask, [](T a, T b) -> T { return a ^ b; });
      };
  }
}

template <typename T>
T reduce_in_warp(std::uint32_t mask, T value, Reduction operation, SourceLine line) {
  ReduceExchange<T> exchange;
  exchange.value = value;
  running_block("__reduce_sync").warp_operation(mask, operation_of<T>(operation), &exchange, "__reduce_sync", line);
  return exchange.value;
}

}  // namespace

std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, Shuffle mode, int operand, int width, SourceLine line) {
  Block& block = running_block(name_of(mode));
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    block.fail(
        FaultKind::kDivergentWarp,
        [&] {
          return std::string(name_of(mode)) + ": width " + std::to_string(width) + " is no power of two up to 32";
        },
        line);
  }
  ShuffleExchange exchange;
  exchange.value = value;
  exchange.source = source_of(mode, block.running().lane(), operand, width);
  block.warp_operation(mask, do_shuffle, &exchange, name_of(mode), line);
  if (!exchange.source_takes_part) {
    block.fail(
        FaultKind::kInactiveLane,
        [&] {
          return std::string(name_of(mode)) + " reads from lane " + std::to_string(exchange.source) +
                 ", which is not in the mask";
        },
        line);
  }
  return exchange.value;
}

std::uint32_t ballot(std::uint32_t mask, bool value, const char* name, SourceLine line) {
  BallotExchange exchange;
  exchange.value = value;
  running_block(name).warp_operation(mask, do_ballot, &exchange, name, line);
  return exchange.result;
}

std::uint32_t reduce(std::uint32_t mask, std::uint32_t value, Reduction operation, SourceLine line) {
  return reduce_in_warp(mask, value, operation, line);
}

std::int32_t reduce(std::uint32_t mask, std::int32_t value, Reduction operation, SourceLine line) {
  return reduce_in_warp(mask, value, operation, line);
}

}  // namespace lexiscope::simt
