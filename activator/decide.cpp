#include "activator/decide.hpp"

#include <algorithm>

#include "activator/words.hpp"

namespace rouse::activator {
namespace {

/// What one instance is reckoned to carry where it has no limit of its own.
constexpr std::uint64_t unlimited_share = 100;

std::string work_in_words(const scale_state& state) {
  return std::to_string(state.parked) + " parked + " + std::to_string(state.in_flight) + " in flight";
}

std::string why_up(const scale_state& state, std::uint64_t wanted, std::uint64_t share) {
  if (wanted < state.min) return "min is " + std::to_string(state.min);
  std::string why;
  if (wanted == 1 && state.ready == 0) {
    why = std::to_string(state.parked) + " parked, none ready";
  } else {
    why = work_in_words(state) + " / " + std::to_string(share) + " per instance -> " + std::to_string(wanted);
  }
  if (wanted > state.max) why += ", max is " + std::to_string(state.max);
  return why;
}

std::string why_down(const scale_state& state, unsigned gone) {
  auto why = std::to_string(gone) + " idle for " + in_words(state.idle);
  if (state.min > 0) why += ", min is " + std::to_string(state.min);
  return why;
}

std::string why_same(const scale_state& state, unsigned current, std::uint64_t wanted, std::uint64_t share) {
  if (wanted > current) return why_up(state, wanted, share);
  if (current > 0)
    return std::to_string(current) + (current == 1 ? " is" : " are") + " enough for " + work_in_words(state);
  return "nothing parked or in flight";
}

}  // namespace

scale_decision decide(const scale_state& state) {
  const std::uint64_t share = state.concurrency ? state.concurrency : unlimited_share;
  const std::uint64_t work = state.in_flight + state.parked;
  const std::uint64_t wanted = work / share + (work % share ? 1 : 0);
  const auto needed =
      static_cast<unsigned>(std::min<std::uint64_t>(std::max<std::uint64_t>(wanted, state.min), state.max));
  const unsigned current = state.ready + state.starting;

  if (needed > current) return {needed, why_up(state, wanted, share)};
  if (current > state.max) return {state.max, "max is " + std::to_string(state.max)};
  const unsigned gone = std::min({current - needed, state.idle_expired, state.ready});
  if (gone > 0) return {current - gone, why_down(state, gone)};
  return {current, why_same(state, current, wanted, share)};
}

}  // namespace rouse::activator
