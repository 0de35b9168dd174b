// Tasks of a parallel region: every thread has a share of them in a row, so that neighbouring tasks find in its cache
// what they have in common, and takes from the others' when it is done.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace lexiscope::cpu {

class TaskShares {
 public:
  TaskShares(std::size_t tasks, int threads) : shares_(static_cast<std::size_t>(threads)) {
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      shares_[i].next = i * tasks / shares_.size();
      shares_[i].end = (i + 1) * tasks / shares_.size();
    }
  }

  /// work(task) for tasks that no other call has; to be called once by every thread.
  template <typename Work>
  void run(int thread, const Work& work) {
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(static_cast<std::size_t>(thread) + i) % shares_.size()];
      for (std::size_t task; (task = share.next++) < share.end;) work(task);
    }
  }

 private:
  struct alignas(64) Share {
    std::atomic<std::size_t> next;
    std::size_t end;
  };

  std::vector<Share> shares_;
};

}  // namespace lexiscope::cpu
