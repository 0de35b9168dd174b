#include "simt/grid.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "simt/block.h"
#include "simt/fault.h"
#include "simt/global_memory.h"

namespace lexiscope::simt {
namespace {

ScheduleOptions schedule_from_environment() {
  ScheduleOptions options;
  const char* set = std::getenv("LEXISCOPE_SIMT_SCHEDULE");
  const std::string_view wanted = set != nullptr ? set : "fair";
  constexpr std::string_view kRandom = "random:";
  if (wanted == "reverse") {
    options.threads = ThreadSchedule::kReverse;
    options.blocks = BlockOrder::kReverse;
  } else if (wanted == "greedy") {
    options.threads = ThreadSchedule::kGreedyWarps;
  } else if (wanted.substr(0, kRandom.size()) == kRandom) {
    options.threads = ThreadSchedule::kRandom;
    options.blocks = BlockOrder::kRandom;
    options.seed = std::strtoull(wanted.substr(kRandom.size()).data(), nullptr, 10);
  } else if (wanted != "fair") {
    throw std::invalid_argument("LEXISCOPE_SIMT_SCHEDULE is '" + std::string(wanted) +
                                "', not fair, reverse, random:SEED or greedy");
  }
  return options;
}

struct Settings {
  std::mutex mutex;
  ScheduleOptions schedule = schedule_from_environment();
};

Settings& settings() {
  static auto* const kept = new Settings;  // for threads that outlive main
  return *kept;
}

// Blocks own stacks and shadows of some megabytes: they are kept for the next grid.
class SpareBlocks {
 public:
  std::unique_ptr<Block> take() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return std::make_unique<Block>();
    std::unique_ptr<Block> block = std::move(spare_.back());
    spare_.pop_back();
    return block;
  }
  void give_back(std::unique_ptr<Block> block) {
    const std::lock_guard lock(mutex_);
    spare_.push_back(std::move(block));
  }
  static SpareBlocks& instance() {
    static auto* const kept = new SpareBlocks;
    return *kept;
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> spare_;
};

// OS threads that help whoever runs a grid; they are started when they are first needed and sleep between grids.
class Helpers {
 public:
  void ask(unsigned count, const std::function<void()>& work) {
    const std::lock_guard lock(mutex_);
    for (unsigned i = 0; i < count; ++i) work_.push_back(work);
    for (; threads_ < count; ++threads_) std::thread([this] { serve(); }).detach();
    wake_.notify_all();
  }
  static Helpers& instance() {
    static auto* const kept = new Helpers;
    return *kept;
  }

 private:
  void serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !work_.empty(); });
      const std::function<void()> work = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> work_;
  unsigned threads_ = 0;
};

// One grid, shared by those who run its blocks. `launch` lives as long as a block of it is open, so helpers that come
// too late find nothing to do and must not look at it.
class GridRun {
 public:
  GridRun(const GridLaunch& launch, const ScheduleOptions& schedule)
      : launch_(launch),
        schedule_(schedule),
        memory_(GlobalMemory::now()),
        blocks_(std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z) {
    if (schedule.blocks != BlockOrder::kRandom) return;
    order_.resize(blocks_);
    std::iota(order_.begin(), order_.end(), std::uint64_t{0});
    std::shuffle(order_.begin(), order_.end(), std::mt19937_64(schedule.seed));
  }

  std::uint64_t blocks() const { return blocks_; }

  // Runs blocks until none is left.
  void work() {
    std::unique_lock lock(mutex_);
    std::unique_ptr<Block> block;
    while (next_ < blocks_ && failure_ == nullptr) {
      const std::uint64_t turn = next_++;
      ++open_;
      lock.unlock();
      std::exception_ptr failure;
      try {
        if (block == nullptr) block = SpareBlocks::instance().take();
        if (const std::optional<Fault> fault = block->run(launch_, index_of(turn), schedule_, memory_))
          failure = std::make_exception_ptr(*fault);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure != nullptr && (failure_ == nullptr || turn < failed_turn_)) {
        failure_ = failure;
        failed_turn_ = turn;
      }
      if (--open_ == 0) done_.notify_all();
    }
    lock.unlock();
    if (block != nullptr) SpareBlocks::instance().give_back(std::move(block));
  }

  // After work: waits for the others' blocks, and throws the fault of the earliest block that has one.
  void finish() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return open_ == 0; });
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  uint3 index_of(std::uint64_t turn) const {
    std::uint64_t number = turn;
    if (schedule_.blocks == BlockOrder::kReverse) number = blocks_ - 1 - turn;
    if (schedule_.blocks == BlockOrder::kRandom) number = order_[turn];
    const dim3 grid = launch_.grid;
    return {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
            static_cast<unsigned>(number / grid.x / grid.y)};
  }

  const GridLaunch& launch_;
  const ScheduleOptions schedule_;
  const GlobalMemory memory_;
  const std::uint64_t blocks_;
  std::vector<std::uint64_t> order_;

  std::mutex mutex_;
  std::condition_variable done_;
  std::uint64_t next_ = 0, open_ = 0, failed_turn_ = 0;
  std::exception_ptr failure_;
};

void check_shape(const GridLaunch& launch) {
  const auto refuse = [&](const std::string& message) {
    throw Fault(FaultKind::kInvalidLaunch, launch.kernel->name, {}, {}, message);
  };
  const auto text = [](dim3 size) {
    return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
  };
  const dim3 grid = launch.grid, block = launch.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads || block.z > 64)
    refuse("a block of " + text(block) + " threads; it has 1 to 1024, and z is at most 64");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    refuse("a grid of " + text(grid) + " blocks; x is 1 to 2^31 - 1, y and z are 1 to 65535");
  if (launch.shared_bytes > launch.max_shared_bytes)
    refuse(std::to_string(launch.shared_bytes) + " bytes of shared memory; at most " +
           std::to_string(launch.max_shared_bytes) + " are allowed");
}

}  // namespace

void run_grid(const GridLaunch& launch) {
  check_shape(launch);
  const ScheduleOptions options = schedule();
  const auto run = std::make_shared<GridRun>(launch, options);
  const unsigned workers = options.workers != 0 ? options.workers : std::max(1u, std::thread::hardware_concurrency());
  const auto helpers = static_cast<unsigned>(std::min<std::uint64_t>(workers, run->blocks())) - 1;
  if (helpers > 0) Helpers::instance().ask(helpers, [run] { run->work(); });
  run->work();
  run->finish();
}

void set_schedule(const ScheduleOptions& options) {
  const std::lock_guard lock(settings().mutex);
  settings().schedule = options;
}

ScheduleOptions schedule() {
  const std::lock_guard lock(settings().mutex);
  return settings().schedule;
}

}  // namespace lexiscope::simt
