// The program as people and scripts run it: words in, exit status and output out.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/files.h"

namespace lexiscope::testing {

using Words = std::vector<std::string>;

struct Limits {
  rlim_t file_bytes = RLIM_INFINITY, address_space = RLIM_INFINITY;
};

struct Outcome {
  int status = -1;  ///< the exit status; a signal's number less 1000
  std::string out, error;
};

/// Runs LEXISCOPE_BIN; what it prints goes to files in `folder`, which must outlive it.
class Program {
 public:
  explicit Program(std::filesystem::path folder) : folder_(std::move(folder)) {}

  pid_t start(const Words& words, const Limits& limits = {}) const {
    std::vector<std::string> arguments{LEXISCOPE_BIN};
    arguments.insert(arguments.end(), words.begin(), words.end());
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const std::string out = folder_ / "stdout", error = folder_ / "stderr";
    const pid_t child = fork();
    if (child != 0) return child;
    const rlimit files{limits.file_bytes, limits.file_bytes}, space{limits.address_space, limits.address_space};
    if (limits.file_bytes != RLIM_INFINITY) setrlimit(RLIMIT_FSIZE, &files);
    if (limits.address_space != RLIM_INFINITY) setrlimit(RLIMIT_AS, &space);
    dup2(open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDOUT_FILENO);
    dup2(open(error.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }

  Outcome finish(pid_t child) const {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) - 1000, read_bytes(folder_ / "stdout"),
            read_bytes(folder_ / "stderr")};
  }

  Outcome run(const Words& words, const Limits& limits = {}) const { return finish(start(words, limits)); }

 private:
  std::filesystem::path folder_;
};

}  // namespace lexiscope::testing
