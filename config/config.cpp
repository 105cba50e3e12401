#include "config/config.hpp"

#include <algorithm>

namespace rouse::config {

const char* to_string(pool_backend value) noexcept {
  switch (value) {
    case pool_backend::process:
      return "process";
    case pool_backend::docker:
      return "docker";
    case pool_backend::kubernetes:
      return "kubernetes";
    case pool_backend::webhook:
      return "webhook";
    case pool_backend::fixed:
      return "static";
  }
  return "unknown";
}

double target_of(const revision& value) {
  // Where nothing limits an instance there is still a load at which another is wanted.
  double const slots = value.concurrency == 0 ? 100.0 : value.concurrency;
  constexpr double rps_of_one = 200;
  double target = value.scale.target.value_or(0);
  if (!value.scale.target) {
    switch (value.scale.metric) {
      case scale_metric::concurrency:
        target = slots * value.scale.utilization;
        break;
      case scale_metric::rps:
        target = rps_of_one * value.scale.utilization;
        break;
      case scale_metric::backlog:
        target = slots;
        break;
    }
  }
  return std::max(target, 0.01);
}

std::string group_of(const std::string& trigger) {
  return "rouse-" + trigger;
}

}  // namespace rouse::config
