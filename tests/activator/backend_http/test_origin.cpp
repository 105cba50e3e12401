#include <catch2/catch.hpp>

#include "activator/backend/http/origin.hpp"

using namespace rouse::backend_http;

namespace {

url good(std::string_view text) {
  std::string problem;
  const auto parsed = parse_url(text, problem);
  INFO(problem);
  REQUIRE(parsed);
  return *parsed;
}

std::string bad(std::string_view text) {
  std::string problem;
  CHECK_FALSE(parse_url(text, problem));
  return problem;
}

}  // namespace

TEST_CASE("URLs of APIs") {
  const auto plain = good("http://scaler.example:81/hook?x=1");
  CHECK(plain.to.scheme == origin::kind::http);
  CHECK(plain.to.host == "scaler.example");
  CHECK(plain.to.port == 81);
  CHECK(plain.target == "/hook?x=1");
  CHECK(authority(plain.to) == "scaler.example:81");

  const auto secure = good("https://[fd00::1]");
  CHECK(secure.to.scheme == origin::kind::https);
  CHECK(secure.to.port == 443);
  CHECK(secure.target == "/");
  CHECK(authority(secure.to) == "[fd00::1]");
  CHECK(describe(secure.to) == "[fd00::1]:443");

  CHECK(good("https://k8s/k8s/clusters/c-1").target == "/k8s/clusters/c-1");
  CHECK(good("http://h?q").target == "/?q");
  CHECK(good("http://h/a#b").target == "/a");
  const auto local = good("unix:///var/run/docker.sock");
  CHECK(local.to.scheme == origin::kind::unix_socket);
  CHECK(describe(local.to) == "/var/run/docker.sock");
  CHECK(authority(local.to) == "localhost");
}

TEST_CASE("what is wrong with a URL is said") {
  CHECK(bad("ftp://h") == "does not begin with http://, https:// or unix://");
  CHECK(bad("http:///path") == "has no host");
  CHECK(bad("http://h:0") == "has no number from 1 to 65535 as its port");
  CHECK(bad("http://h:80a") == "has no number from 1 to 65535 as its port");
  CHECK(bad("http://[::1") == "has an address without its closing bracket");
  CHECK(bad("http://[host]") == "has something in brackets that is no IPv6 address");
  CHECK(bad("http://me@h") == "has a host with an impossible character");
  CHECK(bad("http://h/a b") == "has a character in its path that must be percent-encoded");
  CHECK(bad("unix://docker.sock") == "does not name an absolute path");
}

TEST_CASE("numeric addresses") {
  CHECK(to_string(*parse_address("10.1.2.3", 80)) == "10.1.2.3:80");
  CHECK(to_string(*parse_address("fd00::1", 80)) == "[fd00::1]:80");
  CHECK_FALSE(parse_address("localhost", 80));
}
