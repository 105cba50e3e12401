#include "activator/backend/fixed/endpoint_watch.hpp"

#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "activator/backend/http/origin.hpp"
#include "activator/backend/http/readiness.hpp"

namespace rouse::fixed {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// A look-up that failed is repeated after so long at the latest.
constexpr milliseconds look_up_again{5'000};
/// The first checks of many endpoints begin so far apart.
constexpr std::chrono::microseconds first_checks_apart{500};

router::address address_of(const tcp::endpoint& from) {
  router::address out;
  out.port = from.port();
  out.v6 = from.address().is_v6();
  if (out.v6) {
    const auto bytes = from.address().to_v6().to_bytes();
    std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  } else {
    const auto bytes = from.address().to_v4().to_bytes();
    std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  }
  return out;
}

/// A server often has an address of each kind, and would count twice: those of version 6 are for who has no other.
std::vector<router::address> addresses_of(const tcp::resolver::results_type& found) {
  std::vector<router::address> out;
  for (const bool v6 : {false, true}) {
    for (const auto& one : found)
      if (one.endpoint().address().is_v6() == v6) out.push_back(address_of(one.endpoint()));
    if (!out.empty()) break;
  }
  return out;
}

}  // namespace

milliseconds check_timeout(const watch_settings& of) {
  return std::clamp(of.check_interval, milliseconds(1'000), milliseconds(5'000));
}

/// Handlers hold it weakly.
struct endpoint_watch::impl : std::enable_shared_from_this<impl> {
  struct name {
    explicit name(asio::io_context& io) : timer(io) {}
    std::string host;
    std::uint16_t port = 0;
    std::vector<router::address> addresses;
    bool looked_up = false;
    std::string problem;
    asio::steady_timer timer;
  };
  struct check {
    explicit check(asio::io_context& io) : timer(io) {}
    std::string host;  ///< for the Host field; empty: the address
    asio::steady_timer timer;
    std::unique_ptr<backend_http::readiness> look;
    bool first = true;
  };

  impl(asio::io_context& with, const watch_settings& from, const activator::run_spec& how, std::mt19937& chance,
       std::function<void()> tell)
      : io(with), settings(from), spec(how), random(chance), news(std::move(tell)), resolver(with), deadlines(with) {}

  void begin();
  void look_up(name& which);
  void on_looked_up(name& which, const error_code& error, const tcp::resolver::results_type& found);
  void gather();
  void schedule(const router::address& where, std::chrono::microseconds after);
  void begin_check(const router::address& where);
  void on_checked(const router::address& where, const backend_http::readiness_result& result);
  void watch_deadlines();
  double uniform(double from, double to) { return std::uniform_real_distribution<double>(from, to)(random); }
  std::chrono::microseconds about(milliseconds time, double from, double to) {
    return std::chrono::microseconds(
        static_cast<std::int64_t>(static_cast<double>(time.count()) * 1000 * uniform(from, to)));
  }

  asio::io_context& io;
  const watch_settings settings;
  activator::run_spec spec;
  std::mt19937& random;
  std::function<void()> news;
  roster endpoints;
  tcp::resolver resolver;
  asio::steady_timer deadlines;
  std::vector<router::address> numeric;
  std::vector<std::unique_ptr<name>> names;
  std::map<router::address, check, address_order> checks;
  std::string unreadable;
};

void endpoint_watch::impl::begin() {
  for (const auto& text : spec.endpoints) {
    std::string problem;
    const auto url = backend_http::parse_url("http://" + text, problem);
    if (!url) {
      unreadable = "the endpoint " + text + " " + problem;
    } else if (const auto where = backend_http::parse_address(url->to.host, url->to.port)) {
      numeric.push_back(*where);
    } else {
      auto& made = names.emplace_back(std::make_unique<name>(io));
      made->host = url->to.host;
      made->port = url->to.port;
    }
  }
  for (const auto& each : names) look_up(*each);
  gather();
}

void endpoint_watch::impl::look_up(name& which) {
  resolver.async_resolve(which.host, std::to_string(which.port),
                         [weak = weak_from_this(), &which](const error_code& error, const auto& found) {
                           if (const auto self = weak.lock(); self) self->on_looked_up(which, error, found);
                         });
}

/// What was known stays when a look-up fails: dead servers are found by their checks.
void endpoint_watch::impl::on_looked_up(name& which, const error_code& error,
                                        const tcp::resolver::results_type& found) {
  if (error == asio::error::operation_aborted) return;
  which.looked_up = true;
  which.problem = error ? "cannot look up " + which.host + ": " + error.message() : std::string();
  if (!error) which.addresses = addresses_of(found);
  const auto after = error ? std::min(settings.resolve_interval, look_up_again) : settings.resolve_interval;
  which.timer.expires_after(about(after, 0.9, 1.1));
  which.timer.async_wait([weak = weak_from_this(), &which](const error_code& failed) {
    if (const auto self = weak.lock(); self && !failed) self->look_up(which);
  });
  gather();
  news();
}

/// The roster and the checks follow what is known of the names.
void endpoint_watch::impl::gather() {
  auto all = numeric;
  std::map<router::address, std::string, address_order> hosts;
  bool complete = true;
  std::string problem = unreadable;
  for (const auto& each : names) {
    complete = complete && each->looked_up;
    if (problem.empty()) problem = each->problem;
    for (const auto& where : each->addresses) {
      all.push_back(where);
      hosts.emplace(where, each->host + ":" + std::to_string(each->port));
    }
  }
  endpoints.set_addresses(all, complete, problem);
  std::erase_if(checks, [this](const auto& each) { return !endpoints.has(each.first); });
  auto after = std::chrono::microseconds(0);
  for (const auto& where : endpoints.addresses()) {
    const auto [at, is_new] = checks.try_emplace(where, io);
    if (const auto host = hosts.find(where); host != hosts.end()) at->second.host = host->second;
    if (!is_new) continue;
    schedule(where, after);
    after += first_checks_apart;
  }
}

void endpoint_watch::impl::schedule(const router::address& where, std::chrono::microseconds after) {
  auto& timer = checks.at(where).timer;
  timer.expires_after(after);
  timer.async_wait([weak = weak_from_this(), where](const error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->begin_check(where);
  });
}

void endpoint_watch::impl::begin_check(const router::address& where) {
  const auto at = checks.find(where);
  if (at == checks.end()) return;
  if (!endpoints.has(where)) {
    checks.erase(at);
    return;
  }
  backend_http::readiness_settings look;
  look.where = where;
  look.path = spec.ready_path;
  look.host = at->second.host;
  look.once = true;
  look.connect_timeout = look.answer_timeout = check_timeout(settings);
  look.deadline = look.begun + check_timeout(settings);
  at->second.look = std::make_unique<backend_http::readiness>(
      io, look, [weak = weak_from_this(), where](const backend_http::readiness_result& result) {
        if (result.socket >= 0) ::close(result.socket);
        if (const auto self = weak.lock()) self->on_checked(where, result);
      });
}

void endpoint_watch::impl::on_checked(const router::address& where, const backend_http::readiness_result& result) {
  if (result.ready) {
    endpoints.passed(where);
  } else {
    endpoints.failed(where, result.problem);
  }
  // The second check comes at any moment of the interval, so that those of many spread over it and stay so.
  const bool first = std::exchange(checks.at(where).first, false);
  if (endpoints.is_in_doubt(where)) {
    schedule(where, about(settings.check_interval, 0.2, 0.3));
  } else {
    schedule(where, first ? about(settings.check_interval, 0.1, 1.0) : about(settings.check_interval, 0.9, 1.1));
  }
  news();
}

void endpoint_watch::impl::watch_deadlines() {
  const auto next = endpoints.next_expiry();
  if (!next) return;
  deadlines.expires_at(*next);
  deadlines.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    self->endpoints.expire(clock::now());
    self->watch_deadlines();
    self->news();
  });
}

endpoint_watch::endpoint_watch(asio::io_context& io, const watch_settings& settings, const activator::run_spec& spec,
                               std::mt19937& random, std::function<void()> news)
    : impl_(std::make_shared<impl>(io, settings, spec, random, std::move(news))) {
  impl_->begin();
}

endpoint_watch::~endpoint_watch() = default;

void endpoint_watch::configure(const activator::run_spec& spec) {
  impl_->spec = spec;
}

roster& endpoint_watch::endpoints() {
  return impl_->endpoints;
}

void endpoint_watch::watch_deadlines() {
  impl_->watch_deadlines();
}

std::string endpoint_watch::problem() const {
  if (!impl_->unreadable.empty()) return impl_->unreadable;
  for (const auto& each : impl_->names)
    if (!each->problem.empty())
      return each->problem + (each->addresses.empty() ? "; it is tried again" : "; what was known of it is used on");
  return {};
}

}  // namespace rouse::fixed
