#include "router/instance.hpp"

#include <unistd.h>

#include <cassert>
#include <chrono>
#include <utility>

namespace rouse::router {

namespace {

constexpr unsigned set_of() noexcept {
  return 0;
}

template <class... More>
constexpr unsigned set_of(instance_state first, More... more) noexcept {
  return 1U << static_cast<unsigned>(first) | set_of(more...);
}

}  // namespace

const char* to_string(instance_state state) noexcept {
  switch (state) {
    case instance_state::starting:
      return "starting";
    case instance_state::open:
      return "ready";
    case instance_state::draining:
      return "draining";
    case instance_state::stopping:
      return "stopping";
    case instance_state::ejected:
      return "ejected";
    case instance_state::frozen:
      return "frozen";
    case instance_state::gone:
      return "gone";
  }
  return "unknown";
}

instance::instance(std::uint64_t id, std::string name, std::uint32_t slot_limit, unsigned workers)
    : word_(pack(instance_state::starting, 0)), id_(id), name_(std::move(name)), slot_limit_(slot_limit) {
  connections.idle = std::make_unique<std::atomic<std::uint32_t>[]>(workers);
}

instance::~instance() {
  assert(slots_taken() == 0 && "an instance was freed with slots taken");
  if (const int probe = connections.probe_socket.exchange(-1); probe >= 0) ::close(probe);
}

std::int64_t instance::steady_now() noexcept {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

bool instance::try_take() noexcept {
  std::uint64_t word = word_.load(std::memory_order_seq_cst);
  do {
    if (!has_free_slot(word)) return false;
  } while (!word_.compare_exchange_weak(word, word + 1, std::memory_order_seq_cst));
  return true;
}

std::uint32_t instance::give_back(std::int64_t (*now)() noexcept) noexcept {
  std::uint64_t word = word_.load(std::memory_order_seq_cst);
  do {
    assert(taken_of(word) > 0 && "a slot was given back twice");
    if (taken_of(word) == 1) touch(now());
  } while (!word_.compare_exchange_weak(word, word - 1, std::memory_order_seq_cst));
  return taken_of(word) - 1;
}

/// The one way a state changes: a CAS on the word that holds the count, so that it is decided against every take.
bool instance::move(unsigned from, instance_state to, bool only_idle) noexcept {
  std::uint64_t word = word_.load(std::memory_order_seq_cst);
  do {
    if ((set_of(state_of(word)) & from) == 0) return false;
    if (only_idle && taken_of(word) != 0) return false;
  } while (!word_.compare_exchange_weak(word, pack(to, taken_of(word)), std::memory_order_seq_cst));
  return true;
}

bool instance::open() noexcept {
  using enum instance_state;
  return move(set_of(starting, ejected, frozen, draining), instance_state::open, false);
}

bool instance::drain() noexcept {
  using enum instance_state;
  return move(set_of(instance_state::open, ejected), draining, false);
}

bool instance::eject() noexcept {
  return move(set_of(instance_state::open), instance_state::ejected, false);
}

bool instance::freeze() noexcept {
  return move(set_of(instance_state::open), instance_state::frozen, true);
}

bool instance::stop_if_idle() noexcept {
  using enum instance_state;
  return move(set_of(instance_state::open, draining, ejected, frozen), stopping, true);
}

void instance::mark_stopping() noexcept {
  using enum instance_state;
  move(set_of(starting, instance_state::open, draining, stopping, ejected, frozen), stopping, false);
}

void instance::mark_gone() noexcept {
  using enum instance_state;
  move(set_of(starting, instance_state::open, draining, stopping, ejected, frozen), gone, false);
}

}  // namespace rouse::router
