#pragma once
// When the requests of one function's rows arrive: exactly as many as each row says, within its interval, one after the
// other and without a list of them. One per function; borrows its load.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "activator/simulator/random.hpp"
#include "activator/simulator/trace.hpp"

namespace rouse::simulator {

/// `poisson`: at random times, independent of each other; `even`: at equal distances, the first after half of one.
enum class spread : std::uint8_t { poisson, even };

class arrivals {
 public:
  arrivals(const function_load& load, nanoseconds interval, spread as) : load_(load), interval_(interval), as_(as) {
    begin_row();
  }

  struct arrival {
    nanoseconds at;
    nanoseconds service;  ///< of the row or the function
  };

  /// The next one in time; nothing after the last.
  [[nodiscard]] std::optional<arrival> next(random_source& random) {
    if (row_ == load_.rows.size()) return std::nullopt;
    const auto& row = load_.rows[row_];
    const arrival out{row.at + step(random), row.service.count() < 0 ? load_.service : row.service};
    if (--left_ == 0) {
      ++row_;
      begin_row();
    }
    return out;
  }

 private:
  void begin_row() {
    at_ = 0;
    if (row_ < load_.rows.size()) left_ = load_.rows[row_].requests;
  }

  /// Where in the interval.
  nanoseconds step(random_source& random) {
    const auto length = static_cast<double>(interval_.count());
    if (as_ == spread::even) {
      const auto all = static_cast<double>(load_.rows[row_].requests);
      at_ = length * (all - static_cast<double>(left_) + 0.5) / all;
    } else {
      // The smallest of `left_` uniform numbers over what is left of the interval (Bentley and Saxe 1980): given their
      // number, Poisson arrivals are uniform.
      at_ += (length - at_) * (1 - std::pow(random.uniform(), 1 / static_cast<double>(left_)));
    }
    return nanoseconds(static_cast<std::int64_t>(std::min(at_, length - 1)));
  }

  const function_load& load_;
  const nanoseconds interval_;
  const spread as_;
  std::size_t row_ = 0;
  std::uint64_t left_ = 0;  ///< of the row's requests; not 0 while there is a row
  double at_ = 0;           ///< of the last one, within the interval
};

}  // namespace rouse::simulator
