#pragma once
// A directory of a test's own, a clock that is moved by hand, and calls of the store that wait for their completion.

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gateway/events/store/store.hpp"

namespace store_test {

using namespace rouse::gateway::events;
using namespace std::chrono_literals;

class temporary_directory {
 public:
  temporary_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "rouse-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string data() const { return path_ + "/data"; }

 private:
  std::string path_;
};

class fake_clock {
 public:
  [[nodiscard]] wall_time now() const { return wall_time(std::chrono::milliseconds(now_)); }
  void advance(std::chrono::milliseconds by) { now_ += by.count(); }
  [[nodiscard]] store_options options() {
    store_options out;
    out.clock = [this] { return now(); };
    return out;
  }

 private:
  std::atomic<std::int64_t> now_{1'700'000'000'000};
};

inline store open(const std::string& directory, store_options options = {}) {
  auto opened = store::open(directory, std::move(options));
  if (!opened) throw std::runtime_error(opened.error().text);
  return std::move(*opened);
}

/// Starts a call and waits for what it gives.
template <class T, class function>
store_result<T> wait(function start) {
  std::promise<store_result<T>> promise;
  auto future = promise.get_future();
  start(completion<T>([&promise](store_result<T> result) { promise.set_value(std::move(result)); }));
  return future.get();
}

inline store_result<appended> append(store& on, stream_id stream, std::vector<std::string> blobs) {
  return wait<appended>([&](auto done) { on.append(stream, std::move(blobs), std::move(done)); });
}

inline std::vector<record> read(store& on, stream_id stream, std::int64_t after = 0, std::size_t count = 1000,
                                std::size_t bytes = 1 << 20) {
  return wait<std::vector<record>>([&](auto done) { on.read(stream, after, count, bytes, std::move(done)); }).value();
}

inline std::vector<std::string> blobs_of(const std::vector<record>& records) {
  std::vector<std::string> out;
  for (const auto& one : records) out.push_back(one.blob);
  return out;
}

inline void flush(store& on) {
  wait<void>([&](auto done) { on.flush(std::move(done)); }).value();
}
inline void sweep(store& on) {
  wait<void>([&](auto done) { on.sweep(std::move(done)); }).value();
}
inline store_usage usage(store& on) {
  return wait<store_usage>([&](auto done) { on.usage(std::move(done)); }).value();
}

inline store_result<void> give_up(store& on, consumer_id consumer, std::int64_t seq, failure_note why = {}) {
  return wait<void>([&](auto done) { on.give_up(consumer, seq, std::move(why), std::move(done)); });
}

inline std::vector<dead_letter> letters(store& on, const std::string& owner = {}, std::int64_t after = 0,
                                        std::size_t count = 1000) {
  return wait<std::vector<dead_letter>>([&](auto done) { on.dead_letters(owner, after, count, std::move(done)); })
      .value();
}

inline redriven redrive(store& on, dead_letter_choice choice, std::optional<stream_id> into = std::nullopt) {
  return wait<redriven>([&](auto done) { on.redrive(std::move(choice), into, std::move(done)); }).value();
}

inline store_result<enqueued> enqueue(store& on, new_invocation what) {
  return wait<enqueued>([&](auto done) { on.enqueue(std::move(what), std::move(done)); });
}

inline taken take(store& on, const std::string& function, std::size_t count = 100, std::size_t bytes = 1 << 20) {
  return wait<taken>([&](auto done) { on.take(function, count, bytes, std::move(done)); }).value();
}

inline store_result<invocation_status> look_up(store& on, const invocation_id& id) {
  return wait<invocation_status>([&](auto done) { on.look_up(id, std::move(done)); });
}

inline store_result<void> finish(store& on, const invocation_id& id, invocation_end end) {
  return wait<void>([&](auto done) { on.finish(id, std::move(end), std::move(done)); });
}

}  // namespace store_test
