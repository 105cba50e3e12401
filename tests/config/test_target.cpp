// What `scale` amounts to for one instance.
#include <catch2/catch.hpp>

#include "config/config.hpp"

namespace config = rouse::config;

TEST_CASE("the target per instance") {
  config::revision r;
  CHECK(config::target_of(r) == Approx(70));
  r.concurrency = 10;
  CHECK(config::target_of(r) == Approx(7));
  r.scale.utilization = 0.5;
  CHECK(config::target_of(r) == Approx(5));
  r.concurrency = 0;  // no limit: as if there were 100
  CHECK(config::target_of(r) == Approx(50));
  r.scale.metric = config::scale_metric::rps;
  CHECK(config::target_of(r) == Approx(100));
  r.scale.metric = config::scale_metric::backlog;
  CHECK(config::target_of(r) == Approx(100));
  r.concurrency = 3;
  CHECK(config::target_of(r) == Approx(3));
  r.scale.target = 7.5;  // as it is, whatever the metric and the utilization
  CHECK(config::target_of(r) == Approx(7.5));
  r.scale.target = 0.0;
  CHECK(config::target_of(r) == Approx(0.01));
  r.scale.target.reset();
  r.scale.metric = config::scale_metric::concurrency;
  r.concurrency = 1;
  r.scale.utilization = 0.001;
  CHECK(config::target_of(r) == Approx(0.01));
}
