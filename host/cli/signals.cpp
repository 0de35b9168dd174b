// A handler may do next to nothing: it posts a semaphore, and a thread that waits for it triggers the token.
#include "host/cli/signals.h"

#include <semaphore.h>

#include <cerrno>
#include <csignal>

namespace lexiscope::cli {
namespace {

sem_t g_signalled;

void on_signal(int) {
  const int saved = errno;
  sem_post(&g_signalled);
  errno = saved;
}

void handle_with(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | (handler == on_signal ? SA_RESETHAND : 0);  // the second signal finds the default
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

}  // namespace

StopOnSignals::StopOnSignals() {
  sem_init(&g_signalled, 0, 0);
  watcher_ = std::thread([this] {
    while (sem_wait(&g_signalled) != 0) {
    }
    if (!ending_) stop_.request_stop();
  });
  handle_with(on_signal);
}

StopOnSignals::~StopOnSignals() {
  handle_with(SIG_DFL);
  ending_ = true;
  sem_post(&g_signalled);
  watcher_.join();
  sem_destroy(&g_signalled);
}

}  // namespace lexiscope::cli
