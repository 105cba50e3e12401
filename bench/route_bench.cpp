// What ten thousand routes cost more than ten, match by match. Each request is copied into the same two buffers before
// the clock starts, because a real one comes from a socket's buffer and not from a list of ten thousand; only the table
// differs. "warm" is back to back, and decides: exit status 1 when the difference is above 0.5 us. "cold" walks over
// twice a core's second-level cache before each match, which is worse than what a worker does between two requests: it
// tells how many cache lines a look-up touches.
//
//   route_bench            all cases, 7 rounds interleaved, about half a minute

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "router/routes.hpp"

namespace {

using namespace rouse;
using clock_type = std::chrono::steady_clock;

constexpr double limit_ns = 500;
constexpr int rounds = 7;

struct asked {
  std::string host, target;
};

/// A table of `count` routes or functions, and one request for each.
struct setup {
  config::snapshot config;
  std::vector<asked> requests;
  std::unique_ptr<router::route_table> table;
  std::vector<double> warm, cold;  ///< the median of each round, ns
};

using fill = void (*)(setup& made, const std::string& number);

void add_route(setup& made, const std::string& host, const std::string& path, asked request) {
  config::route added;
  added.host = host;
  added.path = path;
  added.function = made.config.functions.front().name;
  made.config.routes.push_back(std::move(added));
  made.requests.push_back(std::move(request));
}

void distinct_hosts_and_paths(setup& made, const std::string& n) {
  const std::string host = "shop-" + n + ".example.com";
  add_route(made, host, "/api/v" + n + "/*", {host, "/api/v" + n + "/orders/17?expand=lines"});
}

void paths_of_one_host(setup& made, const std::string& n) {
  add_route(made, "api.example.com", "/service-" + n + "/*", {"api.example.com", "/service-" + n + "/orders/17?x=1"});
}

void exact_paths_of_any_host(setup& made, const std::string& n) {
  add_route(made, "", "/hooks/tenant/" + n, {"api.example.com", "/hooks/tenant/" + n});
}

void wildcard_hosts(setup& made, const std::string& n) {
  add_route(made, "*.tenant-" + n + ".example.com", "/*", {"www.eu.tenant-" + n + ".example.com", "/orders/17?x=1"});
}

void function_urls(setup& made, const std::string& n) {
  config::function added;
  added.name = "function-" + n;
  made.config.functions.push_back(std::move(added));
  made.requests.push_back({"api.example.com", "/function/function-" + n + "/orders/17?x=1"});
}

setup make(fill add, int count) {
  setup made;
  made.config.functions.emplace_back().name = "target";
  for (int i = 0; i < count; ++i) add(made, std::to_string(100'000 + 7 * i));
  return made;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Twice the second-level cache of the cores this is likely to run on.
class evictor {
 public:
  void run() {
    for (std::size_t i = 0; i < memory_.size(); i += 64) sum_ += memory_[i]++;
  }
  [[nodiscard]] unsigned sum() const { return sum_; }

 private:
  std::vector<unsigned char> memory_ = std::vector<unsigned char>(2 * 1024 * 1024);
  unsigned sum_ = 0;
};

/// The median of `samples` timed matches (of nothing at all without a table: what the clock itself costs), ns.
double time_matches(const setup& made, bool match, int samples, evictor* between, std::mt19937& random) {
  std::string host, target, scratch;
  host.reserve(256);
  target.reserve(256);
  std::vector<double> taken;
  taken.reserve(static_cast<std::size_t>(samples));
  for (int i = 0; i < samples; ++i) {
    if (between != nullptr) between->run();
    const asked& next = made.requests[random() % made.requests.size()];
    host.assign(next.host);
    target.assign(next.target);
    const router::request_view view{.method = "GET", .host = host, .target = target};
    const auto begin = clock_type::now();
    if (match && made.table->match(view, scratch).error != router::route_error::none) std::abort();
    taken.push_back(std::chrono::duration<double, std::nano>(clock_type::now() - begin).count());
  }
  return median(taken);
}

void run_round(setup& made, evictor& caches, std::mt19937& random) {
  const double floor = time_matches(made, false, 20'000, nullptr, random);
  made.warm.push_back(time_matches(made, true, 100'000, nullptr, random) - floor);
  made.cold.push_back(time_matches(made, true, 1'500, &caches, random) - floor);
}

bool compare(const char* name, fill add) {
  setup few = make(add, 10), many = make(add, 10'000);
  few.table = std::make_unique<router::route_table>(few.config);
  const auto begin = clock_type::now();
  many.table = std::make_unique<router::route_table>(many.config);
  const double build = std::chrono::duration<double, std::milli>(clock_type::now() - begin).count();
  evictor caches;
  std::mt19937 random(3);
  for (int round = 0; round < rounds; ++round) {
    run_round(few, caches, random);
    run_round(many, caches, random);
  }
  const double warm = median(many.warm) - median(few.warm), cold = median(many.cold) - median(few.cold);
  std::printf("%-26s %6.0f %6.0f %+6.0f   %6.0f %6.0f %+6.0f   %7.1f\n", name, median(few.warm), median(many.warm),
              warm, median(few.cold), median(many.cold), cold, build);
  return warm <= limit_ns;
}

/// What the worst request that fits into the head costs against ten thousand routes.
void hostile(const char* name, const std::string& host, const std::string& target) {
  setup made = make(wildcard_hosts, 10'000);
  add_route(made, "*.a.a.a", "/a/a/a/a/*", {});
  made.table = std::make_unique<router::route_table>(made.config);
  std::string scratch;
  std::vector<double> taken;
  const router::request_view view{.method = "GET", .host = host, .target = target};
  for (int i = 0; i < 200; ++i) {
    const auto begin = clock_type::now();
    (void)made.table->match(view, scratch);
    taken.push_back(std::chrono::duration<double, std::micro>(clock_type::now() - begin).count());
  }
  std::printf("%-26s %8.1f us\n", name, median(taken));
}

std::string repeated(std::string_view piece, std::size_t size) {
  std::string text;
  while (text.size() < size) text += piece;
  return text;
}

}  // namespace

int main() {
  std::printf("median ns per match             warm                   cold           table\n");
  std::printf("%-26s %6s %6s %6s   %6s %6s %6s   %7s\n", "", "10", "10000", "more", "10", "10000", "more", "ms");
  bool good = compare("distinct hosts and paths", distinct_hosts_and_paths);
  good = compare("paths of one host", paths_of_one_host) && good;
  good = compare("exact paths of any host", exact_paths_of_any_host) && good;
  good = compare("wildcard hosts", wildcard_hosts) && good;
  good = compare("function URLs", function_urls) && good;
  std::printf("\nmedian us per hostile match, 10,001 routes\n");
  hostile("path of 30,000 slashes", "a.a.a.a", std::string(30'000, '/'));
  hostile("path of 64 KiB", "a.a.a.a", "/" + std::string(65'535, 'a'));
  hostile("64 KiB of a/../", "a.a.a.a", "/" + repeated("a/../", 65'535));
  hostile("64 KiB of %3a", "a.a.a.a", "/" + repeated("%3a", 65'535));
  hostile("host of 200 labels", repeated("a.", 400), "/a/a/a/a/a");
  hostile("host of 64 KiB of dots", std::string(65'536, '.'), "/a/a/a/a/a");
  std::printf("\n%s: ten thousand routes cost %s 0.5 us more than ten\n", good ? "PASS" : "FAIL",
              good ? "at most" : "over");
  return good ? 0 : 1;
}
