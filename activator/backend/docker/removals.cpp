#include "activator/backend/docker/removals.hpp"

#include <algorithm>
#include <utility>

namespace rouse::docker {
namespace {

namespace http = backend_http;
using std::chrono::milliseconds;

constexpr milliseconds first_pause{100};
constexpr milliseconds longest_pause{5'000};
constexpr milliseconds removal_timeout{60'000};
/// A stop is answered when the container has ended, which is after its grace at the latest.
constexpr milliseconds stop_timeout{24 * 3'600'000};

}  // namespace

void removals::remove(const std::string& name, std::function<void()> done) {
  auto& known = all_[name];
  if (!known) known = std::make_unique<one>(io_);
  if (done) known->done.push_back(std::move(done));
  if (std::exchange(known->politely, false)) known->call.cancel();
  if (!known->call.active()) step(name);
}

void removals::end(const std::string& name, bool paused) {
  auto& known = all_[name];
  if (known) return;
  known = std::make_unique<one>(io_);
  known->politely = true;
  known->paused = paused;
  step(name);
}

void removals::step(const std::string& name) {
  one& known = *all_.at(name);
  known.retry.cancel();
  const std::string path = "/containers/" + name;
  if (known.paused && known.politely) {
    known.call = docker_.quick("POST", path + "/unpause", [this, name](const http::response& answer) {
      if (is_away(answer)) return again(name);
      all_.at(name)->paused = false;
      step(name);
    });
  } else if (known.politely) {
    known.call = docker_.slow("POST", path + "/stop", {}, stop_timeout,
                              [this, name](const http::response& answer) { on_stopped(name, answer); });
  } else {
    known.call = docker_.slow("DELETE", path + "?force=1&v=1", {}, removal_timeout,
                              [this, name](const http::response& answer) { on_removed(name, answer); });
  }
}

void removals::on_stopped(const std::string& name, const http::response& answer) {
  if (is_away(answer)) return again(name);
  all_.at(name)->politely = false;
  step(name);
}

void removals::on_removed(const std::string& name, const http::response& answer) {
  // While somebody else removes it (409) it is not gone yet.
  if (answer.status != 204 && answer.status != 404) return again(name);
  const auto known = std::move(all_.at(name));
  all_.erase(name);
  for (const auto& done : known->done) done();
}

/// Later; or, when the engine is away, when it is back.
void removals::again(const std::string& name) {
  one& known = *all_.at(name);
  known.retry.expires_after(known.pause);
  known.pause = std::min(known.pause * 2, longest_pause);
  known.retry.async_wait([this, name, alive = std::weak_ptr<char>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired() && all_.contains(name) && !all_.at(name)->call.active()) step(name);
  });
}

void removals::go_on() {
  std::vector<std::string> idle;
  for (const auto& [name, known] : all_) {
    known->pause = first_pause;
    if (!known->call.active()) idle.push_back(name);
  }
  for (const auto& name : idle) step(name);
}

}  // namespace rouse::docker
