#include "gateway/operations.hpp"

#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <boost/asio/post.hpp>

#include "config/load.hpp"
#include "gateway/events/kafka/client_settings.hpp"

namespace rouse::gateway {
namespace {

using namespace std::chrono_literals;

action_result refusal(unsigned status, std::string type, std::string detail) {
  action_result out;
  out.status = status;
  out.type = std::move(type);
  out.detail = std::move(detail);
  return out;
}

action_result done_with(std::string detail, unsigned status = 200) {
  return refusal(status, {}, std::move(detail));
}

bool same(const config::limits& a, const config::limits& b) {
  return a.header_bytes == b.header_bytes && a.header_timeout == b.header_timeout && a.idle_timeout == b.idle_timeout &&
         a.body_bytes == b.body_bytes && a.connections == b.connections;
}

bool same(const std::vector<config::network>& a, const std::vector<config::network>& b) {
  return std::ranges::equal(
      a, b, [](const auto& x, const auto& y) { return x.address == y.address && x.prefix == y.prefix; });
}

}  // namespace

operations::operations(surroundings around, settings_store store)
    : around_(std::move(around)), store_(std::move(store)), poll_(around_.admin) {}

/// Runs `work` (which returns an action_result) on the control thread, then `then` on the admin thread.
template <typename Work>
void operations::on_control(Work work, done then) {
  asio::post(around_.control, [this, work = std::move(work), then = std::move(then)]() mutable {
    auto result = around_.draining() ? refusal(409, "draining", "the daemon is about to end") : work();
    // What it changed goes to the workers in the next turn of this thread; an answer must not overtake that, or who is
    // told that it holds may find that it does not.
    asio::post(around_.control, [this, result = std::move(result), then = std::move(then)]() mutable {
      asio::post(around_.admin, [result = std::move(result), then = std::move(then)] { then(result); });
    });
  });
}

template <typename Work>
void operations::on_function(std::string name, Work work, done then) {
  auto found = [this, name, work = std::move(work)]() mutable {
    auto* function = around_.functions.find(name);
    if (!function) return refusal(404, "no-function", "there is no function " + name + "; `rouse status` lists them");
    return work(*function);
  };
  on_control(std::move(found), std::move(then));
}

/// A change that is to outlive the daemon: it holds already; now it is written down.
void operations::keep(action_result result, done then) {
  if (result.status >= 400) return then(std::move(result));
  asio::post(around_.control, [this, result = std::move(result), then = std::move(then)]() mutable {
    auto settings = around_.functions.kept();
    asio::post(around_.admin,
               [this, settings = std::move(settings), result = std::move(result), then = std::move(then)]() mutable {
                 if (auto problem = store_.save(settings); !problem.empty()) {
                   around_.log.error("what was set by hand holds, but is lost when rouse ends: {}", problem);
                   result.lines.push_back("it holds, but is lost when rouse ends: " + problem);
                 }
                 ::malloc_trim(0);  // a replaced configuration of thousands of functions is not kept
                 then(std::move(result));
               });
  });
}

void operations::keep_what_holds() {
  keep(done_with({}), [](const action_result&) {});
}

void operations::scale(std::string function, std::optional<unsigned> min, std::optional<unsigned> max, done then) {
  auto work = [this, function, min, max](activator::function_control& of) {
    const auto problem = around_.functions.set_scale(of, min, max);
    if (!problem.empty()) return refusal(422, "invalid-bounds", problem);
    std::string words = function + ":";
    if (min) words += " min " + std::to_string(*min);
    if (max) words += " max " + std::to_string(*max);
    around_.log.info("set by hand: {}", words);
    return done_with(words + ", until a reload changes that very key in the file");
  };
  on_function(function, std::move(work),
              [this, then = std::move(then)](action_result result) { keep(std::move(result), then); });
}

void operations::traffic(std::string function, std::map<std::string, std::uint32_t> weights, done then) {
  auto work = [this, function, weights](activator::function_control& of) {
    const auto problem = around_.functions.set_traffic(of, weights);
    if (!problem.empty()) return refusal(422, "no-revision", problem);
    std::string words = function + ":";
    for (const auto& [revision, weight] : weights) words += " " + revision + "=" + std::to_string(weight);
    around_.log.info("set by hand: traffic of {}", words);
    if (!of.rolling()) return done_with("traffic of " + words);
    return done_with("traffic of " + words + "; a revision that is being made ready has its part when it is ready",
                     202);
  };
  on_function(function, std::move(work),
              [this, then = std::move(then)](action_result result) { keep(std::move(result), then); });
}

void operations::restart(std::string function, done then) {
  auto work = [this, function](activator::function_control& of) {
    around_.log.info("function {}: its instances are replaced one by one, as asked", function);
    around_.functions.restart(of);
    return done_with("the instances of " + function + " are being replaced one by one", 202);
  };
  on_function(function, std::move(work), std::move(then));
}

void operations::cordon(std::string pool, bool cordoned, done then) {
  auto work = [this, pool, cordoned] {
    if (!around_.functions.cordon(pool, cordoned)) {
      return refusal(404, "no-pool", "there is no pool " + pool + "; `rouse status` lists them");
    }
    const std::string words = "pool " + pool + (cordoned ? " takes no new instances" : " takes new instances again");
    around_.log.info("set by hand: {}", words);
    return done_with(words);
  };
  on_control(std::move(work), [this, then = std::move(then)](action_result result) { keep(std::move(result), then); });
}

void operations::drain(done then) {
  on_control(
      [this] {
        asio::post(around_.control, around_.drain);
        return done_with("draining: the daemon ends when what is in progress is done", 202);
      },
      std::move(then));
}

void operations::reload(done then) {
  loaded_ = seen_ = stamps();  // before the files are read: what changes meanwhile is looked at again
  auto read = config::load(around_.config_path, config::process_environment(), events::kafka_checks());
  sources_ = read.sources;
  if (!read.value) {
    auto result = refusal(422, "invalid-config", "the configuration has errors; the one in force stays");
    for (const auto& problem : read.problems) result.lines.push_back(problem.to_string());
    asio::post(around_.admin, [result = std::move(result), then = std::move(then)] { then(result); });
    return;
  }
  auto next = std::make_shared<const config::snapshot>(std::move(*read.value));
  std::shared_ptr<const router::route_table> routes;
  try {
    routes = std::make_shared<const router::route_table>(*next);
  } catch (const std::invalid_argument& error) {
    auto result = refusal(422, "invalid-config", "the configuration has errors; the one in force stays");
    result.lines.push_back(around_.config_path + ": " + error.what());
    asio::post(around_.admin, [result = std::move(result), then = std::move(then)] { then(result); });
    return;
  }
  if (auto problem = around_.prepare_events(*next); !problem.empty()) {
    auto result =
        refusal(422, "storage-failed", "the store for events cannot be used; the configuration in force stays");
    result.lines.push_back(std::move(problem));
    asio::post(around_.admin, [result = std::move(result), then = std::move(then)] { then(result); });
    return;
  }
  apply(std::move(next), std::move(routes), std::move(then));
}

void operations::apply(std::shared_ptr<const config::snapshot> next, std::shared_ptr<const router::route_table> routes,
                       done then) {
  auto work = [this, next, routes] {
    around_.functions.reload(next, routes);
    auto result = done_with("reloaded: " + std::to_string(next->functions.size()) + " functions, " +
                            std::to_string(next->routes.size()) + " routes");
    if (auto keys = needs_restart(next->server); !keys.empty()) {
      result.lines.push_back("changed, but takes a restart of rouse to hold: " + keys);
    }
    return result;
  };
  // Overrides whose key the file has changed are gone: what is kept has to be written again.
  on_control(std::move(work), [this, next, then = std::move(then)](action_result result) {
    if (auto problem = around_.apply_events(*next); !problem.empty())
      result.lines.push_back("a trigger does not run: " + problem);
    keep(std::move(result), then);
  });
}

std::string operations::needs_restart(const config::server& now) const {
  const auto& was = around_.first->server;
  std::string out;
  const auto tell = [&out](bool changed, const char* key) {
    if (changed) out += (out.empty() ? "" : ", ") + std::string("server.") + key;
  };
  tell(now.listen != was.listen, "listen");
  tell(now.admin != was.admin, "admin");
  tell(now.admin_token != was.admin_token, "admin_token");
  tell(now.workers != was.workers, "workers");
  tell(now.data_dir != was.data_dir, "data_dir");
  tell(now.drain_delay != was.drain_delay, "drain_delay");
  tell(now.drain_timeout != was.drain_timeout, "drain_timeout");
  tell(now.expose_errors != was.expose_errors, "expose_errors");
  tell(!same(now.trusted_proxies, was.trusted_proxies), "trusted_proxies");
  tell(!same(now.limits, was.limits), "limits");
  tell(now.access_log != was.access_log, "access_log");
  return out;
}

void operations::log(const action_result& result) {
  const bool bad = result.status >= 400;
  around_.log.log(bad ? spdlog::level::err : spdlog::level::info, "{}", result.detail);
  for (const auto& line : result.lines) around_.log.log(bad ? spdlog::level::err : spdlog::level::warn, "{}", line);
}

void operations::reload_and_log() {
  asio::post(around_.admin, [this] { reload([this](const action_result& result) { log(result); }); });
}

void operations::watch(std::vector<std::string> sources) {
  sources_ = std::move(sources);
  loaded_ = seen_ = stamps();
  look();
}

void operations::stop_watching() {
  poll_.cancel();
}

/// What would be different if a file were written, replaced, or (in a folder) came or went. Following links, as those
/// of a mounted ConfigMap change.
std::vector<std::string> operations::stamps() const {
  std::vector<std::string> out;
  for (const auto& path : sources_) {
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) {
      out.push_back(path + " missing");
      continue;
    }
    out.push_back(path + " " + std::to_string(file.st_ino) + " " + std::to_string(file.st_mtim.tv_sec) + "." +
                  std::to_string(file.st_mtim.tv_nsec) + " " + std::to_string(file.st_size));
  }
  return out;
}

/// A change is acted upon when it has stood still for one period, so that half-written files are left alone.
void operations::look() {
  poll_.expires_after(1s);
  poll_.async_wait([this](const error_code& ec) {
    if (ec) return;
    auto now = stamps();
    const bool still = now == seen_;
    seen_ = std::move(now);
    if (still && seen_ != loaded_) {
      around_.log.info("the configuration's files have changed");
      reload([this](const action_result& result) { log(result); });
    }
    look();
  });
}

}  // namespace rouse::gateway
