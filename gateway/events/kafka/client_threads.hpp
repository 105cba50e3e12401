#pragma once
// The threads of consumers of topics. Ending a consumer takes a commit and a good-bye to its group: some milliseconds,
// and seconds where the cluster does not answer. Nobody on a worker or on the admin thread waits for that; whoever owns
// this does, at the very end. Owned by the service; outlives workers and sources.

#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace rouse::gateway::events {

class client_threads {
 public:
  client_threads() = default;
  /// Waits for all; each has been told to end, and ends within its own bound (topic_limits::close_wait).
  ~client_threads();
  client_threads(const client_threads&) = delete;
  client_threads& operator=(const client_threads&) = delete;

  /// Any thread. Runs it on a thread of its own; those that have ended are joined on the way.
  void run(std::function<void()> body);

 private:
  struct one {
    std::thread thread;
    std::future<void> ended;
  };
  std::mutex mutex_;
  std::vector<one> all_;
};

}  // namespace rouse::gateway::events
