// Faults that a real API server cannot be made to show: 410 Gone in both forms, watches that end in odd ways, pages
// that come too late, silence. The server is a script.

#include <catch2/catch.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/resource_watch.hpp"

using namespace std::chrono_literals;
using namespace rouse::kubernetes;
using boost::asio::ip::tcp;
using Catch::Contains;

namespace {

struct reply {
  int status = 200;
  std::vector<std::string> pieces;  ///< of the body, chunked; a piece is sent when the one before was
  enum class end { whole, cut, open } how = end::whole;
};

/// Answers the requests in the order of the script; a request beyond it hangs.
class script {
 public:
  explicit script(boost::asio::io_context& io) : acceptor_(io, {boost::asio::ip::address_v4::loopback(), 0}) {
    accept();
  }
  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  void add(reply one) { replies_.push_back(std::move(one)); }
  std::vector<std::string> targets;

 private:
  struct peer {
    explicit peer(tcp::socket from) : socket(std::move(from)) {}
    tcp::socket socket;
    boost::asio::streambuf in;
    std::string out;
  };
  void accept() {
    acceptor_.async_accept([this](const boost::system::error_code& failed, tcp::socket socket) {
      if (failed) return;
      read(std::make_shared<peer>(std::move(socket)));
      accept();
    });
  }
  void read(const std::shared_ptr<peer>& one) {
    open_.push_back(one);
    boost::asio::async_read_until(one->socket, one->in, "\r\n\r\n",
                                  [this, one](const boost::system::error_code& failed, std::size_t count) {
                                    if (failed) return;
                                    const std::string head(static_cast<const char*>(one->in.data().data()), count);
                                    one->in.consume(count);
                                    targets.push_back(head.substr(4, head.find(" HTTP") - 4));
                                    if (replies_.empty()) return;
                                    auto next = std::move(replies_.front());
                                    replies_.pop_front();
                                    answer(one, next);
                                  });
  }
  void answer(const std::shared_ptr<peer>& one, const reply& with) {
    one->out = "HTTP/1.1 " + std::to_string(with.status) + " X\r\nTransfer-Encoding: chunked\r\n\r\n";
    char size[20];
    for (const auto& piece : with.pieces) {
      std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
      one->out += size + piece + "\r\n";
    }
    if (with.how == reply::end::whole) one->out += "0\r\n\r\n";
    boost::asio::async_write(one->socket, boost::asio::buffer(one->out),
                             [this, one, how = with.how](const boost::system::error_code& failed, std::size_t) {
                               if (failed) return;
                               if (how == reply::end::cut) one->socket.close();
                               if (how == reply::end::whole) read(one);
                             });
  }

  tcp::acceptor acceptor_;
  std::deque<reply> replies_;
  std::vector<std::shared_ptr<peer>> open_;
};

std::string object(const std::string& name, int version) {
  return R"({"metadata":{"name":")" + name + R"(","resourceVersion":")" + std::to_string(version) + "\"}}";
}
std::string list(int version, const std::vector<std::string>& names, const std::string& next = {}) {
  std::string out = R"({"kind":"PodList","metadata":{"resourceVersion":")" + std::to_string(version) + "\"";
  if (!next.empty()) out += R"(,"continue":")" + next + "\"";
  out += R"(},"items":[)";
  for (std::size_t i = 0; i < names.size(); ++i) out += (i > 0 ? "," : "") + object(names[i], version);
  return out + "]}";
}
std::string event(const std::string& type, const std::string& name, int version) {
  return R"({"type":")" + type + R"(","object":)" + object(name, version) + "}\n";
}

struct bed {
  explicit bed(std::chrono::seconds silence = 60s) {
    rouse::kubernetes::access how;
    how.server = server.url();
    std::string problem;
    with = api::make(io, how, "space", problem);
    REQUIRE(with);
    watch_settings settings;
    settings.group = "v1";
    settings.resource = "pods";
    settings.selector = "a";
    settings.silence = silence;
    watch_handlers on;
    on.on_list = [this] { round.clear(), in_list = true; };
    on.on_object = [this](const nlohmann::json& one) {
      if (in_list) round.insert(name_of(one));
      there.insert(name_of(one));
    };
    on.on_deleted = [this](const std::string& name) { there.erase(name); };
    on.on_listed = [this] {
      there = round;
      in_list = false;
      ++lists;
    };
    on.on_problem = [this](const std::string& what) { problems.push_back(what); };
    of = std::make_unique<resource_watch>(io, *with, std::move(settings), std::move(on));
  }
  bool until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io.restart();
      io.run_one_for(10ms);
    }
    return true;
  }
  bool asked(std::size_t count) {
    return until([&] { return server.targets.size() >= count; });
  }

  boost::asio::io_context io{1};
  script server{io};
  std::unique_ptr<api> with;
  std::unique_ptr<resource_watch> of;
  std::set<std::string> round, there;
  std::vector<std::string> problems;
  bool in_list = false;
  int lists = 0;
};

}  // namespace

TEST_CASE("a list by pages, then a watch from where it ended, and on from the last that was heard") {
  bed on;
  on.server.add({200, {list(5, {"a", "b"}, "next page")}});
  on.server.add({200, {list(5, {"c"})}});
  // Cut in the middle of a line: it is heard again from the version before.
  on.server.add({200,
                 {event("ADDED", "d", 6), event("DELETED", "a", 7), event("BOOKMARK", "", 9), "{\"type\":\"ADD"},
                 reply::end::cut});
  on.server.add({200, {event("MODIFIED", "e", 10)}, reply::end::whole});
  on.of->start();
  REQUIRE(on.asked(5));
  const auto& targets = on.server.targets;
  CHECK_THAT(targets[0], Contains("/api/v1/namespaces/space/pods?limit=100&labelSelector=a"));
  CHECK_THAT(targets[1], Contains("continue=next%20page"));
  CHECK_THAT(targets[2], Contains("watch=1") && Contains("resourceVersion=5&") &&
                             Contains("allowWatchBookmarks=true") && Contains("timeoutSeconds="));
  CHECK_THAT(targets[3], Contains("watch=1") && Contains("resourceVersion=9&"));
  CHECK_THAT(targets[4], Contains("watch=1") && Contains("resourceVersion=10&"));
  CHECK(on.there == std::set<std::string>{"b", "c", "d", "e"});
  CHECK(on.lists == 1);
  CHECK(on.problems.empty());
}

TEST_CASE("410 Gone, as an event and as a status, is answered with a new list") {
  bed on;
  on.server.add({200, {list(5, {"a", "b"})}});
  SECTION("an event") {
    on.server.add({200,
                   {event("ADDED", "c", 6),
                    R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})"
                    "\n"},
                   reply::end::open});
  }
  SECTION("a status") {
    on.server.add({410, {R"({"kind":"Status","code":410,"message":"too old resource version"})"}});
  }
  SECTION("nonsense") {
    on.server.add({200, {"<html>\n"}, reply::end::open});
  }
  // The first page of the new list comes, the second one is too late.
  on.server.add({200, {list(20, {"x"}, "more")}});
  on.server.add({410, {R"({"kind":"Status","code":410})"}});
  on.server.add({200, {list(30, {"b", "z"})}});
  on.of->start();
  REQUIRE(on.asked(6));
  CHECK_THAT(on.server.targets[2], Contains("limit=") && !Contains("continue"));
  CHECK_THAT(on.server.targets[4], Contains("limit=") && !Contains("continue"));
  CHECK_THAT(on.server.targets[5], Contains("resourceVersion=30&"));
  CHECK(on.there == std::set<std::string>{"b", "z"});
  CHECK(on.lists == 2);
}

TEST_CASE("a watch that falls silent is given up") {
  bed on(1s);
  on.server.add({200, {list(5, {"a"})}});
  on.server.add({200, {event("ADDED", "b", 6)}, reply::end::open});
  on.of->start();
  REQUIRE(on.asked(3));
  CHECK_THAT(on.server.targets[2], Contains("resourceVersion=6&"));
}

TEST_CASE("what is wrong is told, and that it is over") {
  bed on;
  on.server.add({403, {R"({"kind":"Status","message":"pods is forbidden"})"}});
  on.server.add({200, {"{}"}});
  on.server.add({200, {list(5, {"a"}).substr(0, 60)}, reply::end::cut});
  on.server.add({200, {list(5, {"a"})}});
  on.server.add({500, {"x"}});
  on.server.add({200, {}, reply::end::open});
  on.of->start();
  REQUIRE(on.until([&] { return !on.problems.empty() && on.problems.back().empty(); }));
  REQUIRE(on.problems.size() == 5);
  CHECK_THAT(on.problems[0], Contains("may not list pods in namespace space"));
  CHECK_THAT(on.problems[1], Contains("cannot be read"));
  CHECK_THAT(on.problems[2], Contains("cannot be reached"));
  CHECK_THAT(on.problems[3], Contains("500"));
  CHECK(on.there == std::set<std::string>{"a"});
}

TEST_CASE("an object in small pieces") {
  bed on;
  std::vector<std::string> bytes;
  for (const char c : list(5, {"a", "b"})) bytes.emplace_back(1, c);
  on.server.add({200, bytes});
  bytes.clear();
  for (const char c : event("ADDED", "c", 6) + event("DELETED", "a", 7)) bytes.emplace_back(1, c);
  on.server.add({200, bytes, reply::end::open});
  on.of->start();
  REQUIRE(on.until([&] { return on.there == std::set<std::string>{"b", "c"}; }));
}
