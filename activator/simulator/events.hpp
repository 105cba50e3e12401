#pragma once
// What happens next: a heap of events in virtual time. Events of one moment come in the order in which they were added.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace rouse::simulator {

enum class event_kind : std::uint8_t {
  arrival,  ///< of function `id`
  finish,   ///< of request `id`
  give_up,  ///< the oldest parked requests of function `id` have waited long enough
  ready,    ///< instance `id`
  gone,     ///< instance `id`
  sample,   ///< the next row of the time series
  pools,    ///< a pool's schedule
};

struct event {
  std::int64_t at = 0;  ///< nanoseconds of the virtual clock
  std::uint64_t order = 0;
  std::uint64_t id = 0;
  event_kind kind{};
};

class event_heap {
 public:
  void add(std::int64_t at, event_kind kind, std::uint64_t id) {
    heap_.push_back(event{at, ++added_, id, kind});
    std::ranges::push_heap(heap_, later);
  }
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] const event& top() const noexcept { return heap_.front(); }
  event pop() {
    std::ranges::pop_heap(heap_, later);
    const auto out = heap_.back();
    heap_.pop_back();
    return out;
  }

 private:
  static bool later(const event& a, const event& b) noexcept { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  std::vector<event> heap_;
  std::uint64_t added_ = 0;
};

}  // namespace rouse::simulator
