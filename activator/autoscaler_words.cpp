// How a decision is told to people. Only what bound the number is said, in the order in which it did.

#include <array>
#include <cstdio>

#include "activator/autoscaler_steps.hpp"
#include "activator/words.hpp"

namespace rouse::activator {
namespace {

/// "84", "12.3", "0.7", "0.04".
std::string number(double value) {
  std::array<char, 48> text{};
  const char* format = value >= 99.95 ? "%.0f" : value >= 0.95 ? "%.1f" : "%.2g";
  std::snprintf(text.data(), text.size(), format, value);
  std::string out = text.data();
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out;
}

std::string count(std::uint64_t number, const char* of) {
  return std::to_string(number) + of;
}

}  // namespace

std::string autoscaler::load_in_words(const question& ask, const reckoning& how) {
  switch (ask.config.metric) {
    case config::scale_metric::rps:
      return number(how.load) + " requests/s";
    case config::scale_metric::backlog:
      return number(how.load) + " waiting";
    case config::scale_metric::concurrency:
      break;
  }
  return number(how.load) + (ask.in.parked > 0 ? " in flight or parked" : " in flight");
}

std::string autoscaler::in_words(const question& ask, const reckoning& how) {
  const auto& in = ask.in;
  const auto to = [](unsigned n) { return " -> " + std::to_string(n); };
  if (how.cause == scale_cause::min) return "min is " + std::to_string(ask.min);
  if (how.cause == scale_cause::max) return "max is " + std::to_string(ask.max);
  if (how.cause == scale_cause::idle) return "idle for " + activator::in_words(ask.config.idle) + to(how.desired);

  std::string out;
  if (how.cause == scale_cause::spare) {
    out = count(how.awake, " needed + ") + count(how.with_spare - how.awake, " spare") + to(how.with_spare);
  } else if (how.full) {
    out = number(how.load) + " in flight or parked in the last second, " + count(in.slots, " slots each") +
          to(how.wanted);
  } else if (how.cause == scale_cause::demand) {
    if (in.parked > 0) {
      out = count(in.parked, " parked");
    } else if (in.waiting_events > 0) {
      out = count(in.waiting_events, " waiting");
    } else if (in.in_flight > 0) {
      out = count(in.in_flight, " in flight");
    } else {
      out = "active in the last " + activator::in_words(ask.config.idle);
    }
    if (in.ready == 0) out += ", none ready";
    if (how.wanted > 1) out += ", target " + number(ask.target);
    out += to(std::max(how.wanted, 1u));
  } else if (how.peak) {
    out = "panic: highest need so far" + to(how.needed);
  } else {
    out = std::string(to_string(how.cause)) + ": " + load_in_words(ask, how) + " / target " + number(ask.target) +
          to(how.wanted);
  }

  if (how.cause != scale_cause::spare) {
    if (!how.peak && how.needed < how.wanted) out += ", " + count(how.needed, " by max_up_rate");
    if (!how.peak && how.needed > how.wanted) out += ", " + count(how.needed, " by max_down_rate");
    if (how.delayed > how.needed) out += ", " + count(how.delayed, " by down_delay");
    if (how.cause != scale_cause::demand && how.awake > how.delayed) out += ", 1 until idle";
    if (how.with_spare > how.awake) out += ", + " + count(how.with_spare - how.awake, " spare");
  }
  if (how.after_youth > how.desired) out += ", capped by max " + std::to_string(ask.max);
  if (how.after_youth < how.desired) out += ", min is " + std::to_string(ask.min);
  return out;
}

}  // namespace rouse::activator
