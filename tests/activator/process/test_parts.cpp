// The backend's parts that need no process: what is said to the keeper, ports, listening sockets, words.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

#include "activator/backend/process/environment.hpp"
#include "activator/backend/process/http_probe.hpp"
#include "activator/backend/process/listeners.hpp"
#include "activator/backend/process/ports.hpp"
#include "activator/backend/process/protocol.hpp"
#include "activator/backend/process/ready_check.hpp"

using namespace rouse::process;

namespace {

descriptor listen_on(int family, std::uint16_t& port) {
  descriptor s(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage at{};
  socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  at.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(at).sin6_addr = in6addr_loopback;
    reinterpret_cast<sockaddr_in6&>(at).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(at).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    reinterpret_cast<sockaddr_in&>(at).sin_port = htons(port);
  }
  REQUIRE(::bind(s.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(s.get(), 8) == 0);
  REQUIRE(::getsockname(s.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  port = ntohs(reinterpret_cast<sockaddr_in&>(at).sin_port);
  return s;
}

}  // namespace

TEST_CASE("a launch survives encoding, whatever its size") {
  launch what;
  what.directory = "/srv/app";
  what.search_path = "/bin:/usr/bin";
  what.argv = {"run", "", std::string(200'000, 'x')};
  what.env = {"A=1", "B="};
  const auto bytes = encode(what);
  REQUIRE(bytes);
  const auto view = decode(*bytes);
  REQUIRE(view);
  CHECK(std::string(view->directory) == what.directory);
  CHECK(std::string(view->search_path) == what.search_path);
  REQUIRE(view->argv.size() == 4);
  CHECK(std::string(view->argv[2]) == what.argv[2]);
  CHECK(view->argv[3] == nullptr);
  REQUIRE(view->env.size() == 3);
  CHECK(std::string(view->env[1]) == "B=");

  SECTION("cut or longer ones are refused") {
    for (std::size_t size : {std::size_t{0}, std::size_t{4}, std::size_t{13}, bytes->size() - 1})
      CHECK_FALSE(decode(std::string_view(*bytes).substr(0, size)));
    CHECK_FALSE(decode(*bytes + '\0'));
  }
  SECTION("counts beyond the bytes are refused") {
    std::string wild = *bytes;
    wild[4] = wild[5] = wild[6] = '\x7f';
    CHECK_FALSE(decode(wild));
  }
  SECTION("NUL in a string and an empty command are refused") {
    what.env.push_back(std::string("C=\0", 3));
    CHECK_FALSE(encode(what));
    CHECK_FALSE(encode(launch{}));
  }
}

TEST_CASE("packets carry descriptors, and an empty packet is not the end") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  descriptor a(ends[0]);
  const descriptor b(ends[1]);
  CHECK(receive(b.get()).size == -1);
  REQUIRE(::send(a.get(), "", 0, 0) == 0);
  CHECK(send(a.get(), "hi", 2, {a.get(), b.get()}));
  const packet got = receive(b.get());
  CHECK(got.size == 2);
  CHECK(got.descriptors.size() == 2);
  REQUIRE(::send(a.get(), "", 0, 0) == 0);
  CHECK(receive(b.get()).size == -1);
  const std::string large(1000, 'x');
  CHECK(send(a.get(), large.data(), large.size()));
  CHECK(receive(b.get()).size == 64);
}

TEST_CASE("the last words of who left something unread are heard, and then the end") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  descriptor a(ends[0]);
  const descriptor b(ends[1]);
  REQUIRE(send(b.get(), "thaw", 4));
  REQUIRE(send(a.get(), "ended", 5));
  a.reset();
  CHECK(receive(b.get()).size == 5);
  CHECK(receive(b.get()).size == 0);
  CHECK(receive(b.get()).size == 0);
}

TEST_CASE("the environment is closed, and what rouse says wins") {
  const char* const all[] = {"PATH=/p", "HOME=/h", "LC_ALL=C", "SECRET=1", "PATHS=2", "broken", "TZ=UTC", nullptr};
  const environment inherit = inherited(all);
  CHECK(inherit == environment{{"PATH", "/p"}, {"HOME", "/h"}, {"LC_ALL", "C"}, {"TZ", "UTC"}});
  const char* const none[] = {nullptr};
  CHECK(inherited(none).at("PATH").find("/usr/bin") != std::string::npos);

  rouse::activator::start_spec spec;
  spec.function = "f";
  spec.revision = "f-1";
  spec.command = {"run"};
  spec.env = {{"PATH", "/mine"}, {"PORT", "1"}, {"X", "y"}};
  const launch what = compose(spec, inherit, 20001);
  CHECK(what.search_path == "/mine");
  CHECK(what.env == std::vector<std::string>{"HOME=/h", "K_CONFIGURATION=f", "K_REVISION=f-1", "K_SERVICE=f",
                                             "LC_ALL=C", "PATH=/mine", "PORT=20001", "TZ=UTC", "X=y"});
}

TEST_CASE("ports stay out of the ephemeral range") {
  CHECK(ports_outside({32768, 60999}) == port_range{20000, 29999});
  CHECK(ports_outside({10000, 30000}) == port_range{30001, 40000});
  CHECK(ports_outside({25000, 60999}) == port_range{15000, 24999});
  CHECK(ports_outside({15000, 65000}) == port_range{10240, 14999});
  CHECK(ports_outside({1024, 65535}) == port_range{20000, 29999});
  CHECK(parse_port_range("32768\t60999\n") == port_range{32768, 60999});
  CHECK_FALSE(parse_port_range("32768"));
  CHECK_FALSE(parse_port_range("60999 32768"));
  CHECK_FALSE(parse_port_range(""));
  CHECK_FALSE(parse_port_range("99999 100000"));
}

TEST_CASE("a port is given out once, in turn, and never while somebody else has it") {
  std::uint16_t busy = 0;
  const auto owner = listen_on(GENERATE(AF_INET, AF_INET6), busy);
  CHECK_FALSE(can_bind(busy, false));
  CHECK_FALSE(can_bind(busy, true));
  port_chooser only_busy({busy, busy}, 7);
  CHECK_FALSE(only_busy.take());

  port_chooser two({29990, 29991}, 1);
  const auto first = two.take();
  const auto second = two.take();
  REQUIRE(first);
  REQUIRE(second);
  CHECK(*first == 29991);
  CHECK(*second == 29990);
  CHECK_FALSE(two.take());
  two.give_back(*second);
  CHECK(two.take() == second);
}

TEST_CASE("listening sockets are found in the kernel's text") {
  const std::string_view text =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 "
      "0\n"
      "   1: 0100007F:4E21 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 "
      "0\n"
      "   2: 0100007F:4E22 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0 100 0 0 10 "
      "0\n";
  std::vector<listener> found;
  CHECK_FALSE(parse_listeners(text, false, found));
  REQUIRE(found.size() == 1);
  CHECK(found[0].inode == 4242);
  CHECK(to_string(found[0].where) == "127.0.0.1:20000");
  found.clear();
  CHECK(parse_listeners(
      "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 "
      "00:00000000 00000000     0        0 77 1 0 100 0 0 10 0\nnoise\n\n",
      true, found));
  REQUIRE(found.size() == 1);
  CHECK(to_string(found[0].where) == "[::1]:8080");
  CHECK(found[0].inode == 77);
}

TEST_CASE("a listening socket belongs to descendants, and to nobody else") {
  std::uint16_t port = 0;
  const bool v6 = GENERATE(false, true);
  const auto socket = listen_on(v6 ? AF_INET6 : AF_INET, port);
  CHECK(listening(port).size() == 1);
  // This process is a descendant of its parent, and not of itself.
  CHECK(who_accepts(port, v6, ::getppid()).who == owner::ours);
  CHECK(who_accepts(port, v6, ::getpid()).who == owner::foreign);
  CHECK(who_accepts(port, !v6, ::getppid()).who == owner::nobody);
  // Both ways to ask agree, here and where there is nothing to be found.
  CHECK(accepting_sockets_by_list(port, v6) == std::vector{accepting_socket(port, v6).value()});
  CHECK(accepting_sockets_by_list(port, !v6).empty());
  CHECK_FALSE(accepting_socket(port, !v6));
  const auto found = check_ready(port, ::getppid());
  CHECK(found.result == ready_check::verdict::ours);
  CHECK(found.where.v6 == v6);
  CHECK(found.where.port == port);
  CHECK(check_ready(port, ::getpid()).result == ready_check::verdict::foreign);
}

TEST_CASE("a dual-stack wildcard answers for 127.0.0.1, an own IPv4 socket before it") {
  descriptor any(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  socklen_t size = sizeof at;
  REQUIRE(::bind(any.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(any.get(), 8) == 0);
  REQUIRE(::getsockname(any.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  const std::uint16_t port = ntohs(at.sin6_port);
  CHECK(who_accepts(port, false, ::getppid()).who == owner::ours);
  CHECK(check_ready(port, ::getppid()).where.v6 == false);
  const auto wildcard = accepting_socket(port, false);
  CHECK(wildcard == accepting_socket(port, true));
  CHECK(accepting_sockets_by_list(port, false) == std::vector{wildcard.value()});
  std::uint16_t second = 0;
  descriptor reusable(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(reusable.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  at.sin6_port = 0;
  REQUIRE(::bind(reusable.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(reusable.get(), 8) == 0);
  REQUIRE(::getsockname(reusable.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  second = ntohs(at.sin6_port);
  descriptor exact(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(exact.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(second);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(exact.get(), reinterpret_cast<sockaddr*>(&four), sizeof four) == 0);
  REQUIRE(::listen(exact.get(), 8) == 0);
  CHECK(accepting_socket(second, false) != accepting_socket(second, true));
  for (const bool v6 : {false, true})
    CHECK(accepting_sockets_by_list(second, v6) == std::vector{accepting_socket(second, v6).value()});
  const auto below = listening_below(::getppid());
  CHECK(std::any_of(below.begin(), below.end(),
                    [&](const auto& where) { return to_string(where) == "[::]:" + std::to_string(port); }));
}

TEST_CASE("a closed port is closed") {
  std::uint16_t port = 0;
  listen_on(AF_INET, port);
  CHECK(check_ready(port, ::getppid()).result == ready_check::verdict::closed);
}

TEST_CASE("the readiness answer is a final status") {
  const auto status = [](std::string head) { return final_status(head); };
  CHECK(status("HTTP/1.1 200 OK\r\n") == 200);
  CHECK(status("HTTP/1.0 204\r\n") == 204);
  CHECK(status("HTTP/1.1 20") == 0);
  CHECK(status("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 No\r\n") == 503);
  CHECK(status("HTTP/1.1 103 Early Hints\r\nLink: x\r\n") == 0);
  CHECK(status("SSH-2.0-OpenSSH\r\n") == -1);
  CHECK(status("HTTP/1.1 2x0 OK\r\n") == -1);
  CHECK(status("HTTP/1.1 2000 OK\r\n") == -1);
  CHECK(status(std::string(20'000, 'x')) == -1);
}

TEST_CASE("ends and failures are told in words") {
  CHECK(describe_status(3 << 8) == "exited with status 3");
  CHECK(describe_status(9) == "was killed by SIGKILL");
  CHECK(describe_status(11 | 0x80) == "was killed by SIGSEGV (core dumped)");
  CHECK(status_word(9) == "signalled");
  CHECK(describe(std::chrono::milliseconds(60'000)) == "60 s");
  CHECK(describe(std::chrono::milliseconds(1500)) == "1500 ms");
  CHECK(command_line({"python3", "app.py"}) == "python3 app.py");
  CHECK(command_line({std::string(1000, 'x')}).size() < 250);
}
