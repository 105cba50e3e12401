// The backend against a scaler of a few lines that a test scripts. The scaler of docs/examples is for the contract.
#include <catch2/catch.hpp>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <nlohmann/json.hpp>

#include "activator/backend/webhook/protocol.hpp"
#include "activator/backend/webhook/webhook_backend.hpp"
#include "tests/activator/backend_contract.hpp"
#include "tests/activator/backend_http/small_server.hpp"

using namespace rouse::webhook;
using namespace std::chrono_literals;
using nlohmann::json;
using rouse::activator::run_spec;
using rouse::activator::start_spec;
using rouse::activator::contract::recorder;
using rouse::activator::contract::run_until;
using rouse::backend_http::test::answer;
using rouse::backend_http::test::hear;
using rouse::backend_http::test::say;
using rouse::backend_http::test::small_server;

namespace {

struct asked {
  std::string head;
  json body;
};

std::string field(const std::string& head, const std::string& name) {
  const auto at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const auto begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

/// Answers with what the test put in, the last one again and again.
class scripted_scaler {
 public:
  scripted_scaler() : server_([this](int fd, int) { serve(fd); }) {}
  void then(int status, const std::string& body) {
    const std::lock_guard lock(mutex_);
    answers_.emplace_back(status, body);
  }
  void lists(const std::string& instances) { then(200, R"({"instances": [)" + instances + "]}"); }
  /// From the next request on, and nothing of what was to come.
  void instead(int status, const std::string& body) {
    const std::lock_guard lock(mutex_);
    answers_.clear();
    answers_.emplace_back(status, body);
  }
  std::vector<asked> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()) + "/scale?a=b"; }

 private:
  void serve(int fd) {
    for (std::string got = hear(fd); !got.empty(); got = hear(fd)) {
      std::pair<int, std::string> with{500, "no script"};
      {
        const std::lock_guard lock(mutex_);
        const auto end = got.find("\r\n\r\n");
        requests_.push_back({got.substr(0, end + 2), json::parse(got.substr(end + 4), nullptr, false)});
        if (!answers_.empty()) with = answers_.front();
        if (answers_.size() > 1) answers_.pop_front();
      }
      say(fd, answer(with.first, with.second));
    }
  }
  std::mutex mutex_;
  std::deque<std::pair<int, std::string>> answers_;
  std::vector<asked> requests_;
  small_server server_;
};

struct bed {
  bed() {
    webhook_settings settings;
    settings.pool = "far";
    settings.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    settings.poll_interval = 5ms;
    settings.request_timeout = 2s;
    settings.seed = 1;
    with = std::make_unique<webhook_backend>(io, heard, settings);
  }
  run_spec spec() {
    run_spec out;
    out.key = 1;
    out.function = "thumb";
    out.revision = "v1";
    out.hash = 0xabc;
    out.url = scaler.url();
    return out;
  }
  void start(std::uint64_t id, std::chrono::milliseconds timeout = 60s, const std::string& found = {}) {
    start_spec made{spec(), id, "v1-" + std::to_string(id), found};
    made.start_timeout = timeout;
    heard.inside_call = true;
    with->start(made);
    heard.inside_call = false;
  }
  bool until(const std::function<bool()>& done) { return run_until(io, done); }
  bool ended(std::uint64_t id) {
    return until([&] { return heard.of(id).exits > 0; });
  }
  bool ready(std::uint64_t id) {
    return until([&] { return heard.of(id).ready + heard.of(id).exits > 0; }) && heard.of(id).ready == 1;
  }
  ~bed() { CHECK(heard.reports_from_inside == 0); }

  boost::asio::io_context io{1};
  recorder heard;
  scripted_scaler scaler;
  small_server function{[](int fd, int) {
    while (!hear(fd).empty()) say(fd, answer(200, "hi"));
  }};
  std::unique_ptr<webhook_backend> with;
  std::string at_function = R"("address": "127.0.0.1:)" + std::to_string(function.port()) + "\"";
};

}  // namespace

TEST_CASE("a start asks the scaler, signed, and is ready when the instance accepts") {
  bed on;
  on.scaler.lists("");
  on.scaler.lists(R"({"name": "a", "state": "starting"})");
  on.scaler.lists(R"({"name": "a", "state": "ready", )" + on.at_function + "}");
  on.with->serve(on.spec());
  on.start(1);
  REQUIRE(on.ready(1));
  CHECK(on.heard.of(1).where.port == on.function.port());
  CHECK(on.heard.of(1).probe_socket >= 0);
  const auto got = on.scaler.requests();
  REQUIRE(got.size() >= 3);
  CHECK(got[0].head.starts_with("POST /scale?a=b HTTP/1.1"));
  CHECK(got[0].body["desired"].is_null());
  CHECK(got[1].body["desired"] == 1);
  CHECK(got[1].body["key"] == "thumb-v1-00000abc");
  CHECK(got[1].body["pool"] == "far");
  CHECK(got[1].body["reason"] == "start 1");
  for (std::size_t i = 1; i < got.size(); ++i) {
    CHECK(got[i].body["sequence"] > got[i - 1].body["sequence"]);
    CHECK(field(got[i].head, "webhook-id") != field(got[i - 1].head, "webhook-id"));
  }
  const auto stamp = std::stoll(field(got[1].head, "webhook-timestamp"));
  CHECK(std::abs(stamp - std::time(nullptr)) < 60);
  // Keys are sorted in what is sent as well as in what dump() makes of it.
  CHECK(field(got[1].head, "webhook-signature") == sign(*key_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
                                                        field(got[1].head, "webhook-id"), stamp, got[1].body.dump()));
}

TEST_CASE("starts of one moment are one request") {
  bed on;
  on.scaler.lists("");
  on.with->serve(on.spec());
  REQUIRE(on.until([&] { return on.scaler.requests().size() == 1; }));
  rouse::activator::contract::settle(on.io);
  for (std::uint64_t id = 1; id <= 3; ++id) on.start(id);
  REQUIRE(on.until([&] { return on.scaler.requests().size() > 1; }));
  CHECK(on.scaler.requests()[1].body["desired"] == 3);
}

TEST_CASE("a refusal fails starts at once, is told as a problem, and heals") {
  bed on;
  on.scaler.then(401, "who\nare you?");
  on.start(1);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.reason == "refused");
  CHECK(on.heard.of(1).exit.detail.find("answers 401: who?are you? (is `secret`") != std::string::npos);
  REQUIRE(on.until([&] { return !on.heard.state.problem.empty(); }));
  CHECK(on.heard.state.problem == on.heard.of(1).exit.detail);
  on.start(2);  // while the next try is to come
  REQUIRE(on.ended(2));
  CHECK(on.heard.of(2).exit.reason == "refused");
  on.scaler.instead(200, R"({"instances": []})");
  CHECK(on.until([&] { return on.heard.state.problem.empty(); }));
}

TEST_CASE("what may pass is tried again, and the start waits") {
  bed on;
  const auto* const body = GENERATE("not now", R"({"instances": "none"})");
  on.scaler.then(std::string(body) == "not now" ? 503 : 200, body);
  on.start(1);
  REQUIRE(on.until([&] { return on.scaler.requests().size() >= 3; }));
  CHECK(on.heard.of(1).exits == 0);
  CHECK_FALSE(on.heard.state.problem.empty());
  on.scaler.instead(200, R"({"instances": [{"name": "a", "state": "ready", )" + on.at_function + "}]}");
  REQUIRE(on.ready(1));
  CHECK(on.until([&] { return on.heard.state.problem.empty(); }));
}

TEST_CASE("a scaler that is away fails a start when its time is over") {
  bed on;
  auto made = on.spec();
  {
    const small_server gone([](int, int) {});
    made.url = "http://127.0.0.1:" + std::to_string(gone.port());
  }
  start_spec spec{made, 1, "v1-1", {}};
  spec.start_timeout = 100ms;
  on.with->start(spec);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.reason == "unavailable");
  CHECK(on.heard.of(1).exit.detail.find("refused") != std::string::npos);
}

TEST_CASE("that one of two scalers is back is told, though the other is not") {
  bed on;
  auto lost = on.spec();
  lost.key = 2;
  {
    const small_server gone([](int, int) {});
    lost.url = "http://127.0.0.1:" + std::to_string(gone.port());
  }
  on.with->serve(lost);
  on.scaler.then(503, "not now");
  on.start(1);
  REQUIRE(on.until([&] { return on.heard.state.problem.find("503") != std::string::npos; }));
  CHECK(on.heard.state.recoveries == 0);
  on.scaler.instead(200, R"({"instances": [{"name": "a", "state": "ready", )" + on.at_function + "}]}");
  REQUIRE(on.ready(1));
  CHECK(on.until([&] { return on.heard.state.recoveries == 1; }));
  CHECK(on.heard.state.problem.find("refused") != std::string::npos);
}

TEST_CASE("what is found is told, taken over and removed by name") {
  bed on;
  const std::string a = R"({"name": "a", "state": "ready", )" + on.at_function + "}";
  on.scaler.lists(a);
  on.with->serve(on.spec());
  REQUIRE(on.until([&] { return !on.heard.found.empty(); }));
  CHECK(on.heard.found[0] == std::pair<std::uint32_t, std::string>(1, "a"));
  on.start(5, 60s, "a");
  REQUIRE(on.ready(5));
  on.with->stop(5, 7s);
  REQUIRE(on.until([&] { return on.scaler.requests().back().body["desired"] == 0; }));
  const auto last = on.scaler.requests().back().body;
  CHECK(last["remove"][0]["name"] == "a");
  CHECK(last["remove"][0]["grace"] > 6.0);
  CHECK(on.heard.of(5).exits == 0);
  on.scaler.instead(200, R"({"instances": []})");
  REQUIRE(on.ended(5));
  CHECK(on.heard.of(5).exit.reason == "stopped");
}

TEST_CASE("what is forgotten is wanted no more, unless rouse ends") {
  bed on;
  on.scaler.lists(R"({"name": "a", "state": "ready", )" + on.at_function + "}");
  on.start(1);
  REQUIRE(on.ready(1));
  const bool ends = GENERATE(false, true);
  if (ends) {
    on.with->let_go(1, 1s);
    REQUIRE(on.ended(1));
    CHECK(on.heard.of(1).exit.reason == "kept");
    on.with->forget(1);
    CHECK_FALSE(run_until(
        on.io, [&] { return on.scaler.requests().back().body["desired"] == 0; }, 50ms));
  } else {
    on.with->forget(1);
    CHECK(on.until([&] { return on.scaler.requests().back().body["desired"] == 0; }));
  }
}

TEST_CASE("a secret that cannot be used is a problem, and nothing is sent") {
  bed on;
  webhook_settings settings;
  settings.secret = "whsec_!";
  on.with = std::make_unique<webhook_backend>(on.io, on.heard, settings);
  on.start(1);
  REQUIRE(on.ended(1));
  CHECK(on.heard.of(1).exit.detail.find("base64") != std::string::npos);
  CHECK(on.scaler.requests().empty());
}
