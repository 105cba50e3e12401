#include <catch2/catch.hpp>

#include <string>

#include "activator/backend/webhook/protocol.hpp"

using namespace rouse::webhook;

namespace {

std::string wrong_with(const std::string& body) {
  std::string problem;
  CHECK_FALSE(parse_listing(body, problem));
  return problem;
}

}  // namespace

TEST_CASE("a request") {
  subject of;
  of.pool = "burst";
  of.function = "thumb";
  of.revision = "v1";
  of.hash = 0xbeef;
  wish what;
  what.desired = 2;
  what.reason = "start 1";
  what.remove.push_back({"a", std::chrono::milliseconds(1500)});
  CHECK(to_json(of, what, 17) ==
        R"({"desired":2,"function":"thumb","key":"thumb-v1-0000beef","pool":"burst","reason":"start 1",)"
        R"("remove":[{"grace":1.5,"name":"a"}],"revision":"v1","sequence":17})");
  what.desired.reset();
  CHECK(to_json(of, what, 17).find(R"("desired":null)") != std::string::npos);
}

TEST_CASE("an answer") {
  std::string problem;
  const auto got = parse_listing(R"({"instances": [
      {"name": "a", "state": "ready", "address": "10.0.0.1:80", "unknown": 1},
      {"name": "b", "state": "starting", "address": null},
      {"name": "c", "state": "failed", "reason": "image", "detail": "no such\nimage"},
      {"name": "d", "state": "ready", "address": "[::1]:8080"},
      {"name": "e", "state": "failed", "reason": "Not a word"}],
      "shortage": {"reason": "no-capacity", "detail": "quota of 3"}})",
                                 problem);
  REQUIRE(got);
  REQUIRE(got->instances.size() == 5);
  CHECK(got->instances[0].is == listed::state::ready);
  CHECK(got->instances[0].where->port == 80);
  CHECK(got->instances[0].where->bytes[0] == 10);
  CHECK_FALSE(got->instances[1].where);
  CHECK(got->instances[2].reason == "image");
  CHECK(got->instances[2].detail == "no such?image");
  CHECK(got->instances[3].where->v6);
  CHECK(got->instances[4].reason == "failed");
  CHECK(got->instances[4].detail == "Not a word");
  CHECK(got->shortage == "no-capacity");
  CHECK(got->shortage_detail == "quota of 3");
}

TEST_CASE("what is not an answer is told by what is wrong with it") {
  CHECK(wrong_with("<html>") == "is not JSON");
  CHECK(wrong_with("[]") == "has no list `instances`");
  CHECK(wrong_with(R"({"instances": [1]})") == "has an instance that is not an object");
  CHECK(wrong_with(R"({"instances": [{"state": "ready"}]})") ==
        "has an instance whose `name` is not a text of 1 to 200 bytes");
  CHECK(wrong_with(R"({"instances": [{"name": "a\u0007", "state": "ready"}]})") ==
        "has an instance a? whose `name` is not printable ASCII");
  CHECK(wrong_with(R"({"instances": [{"name": "a", "state": "up"}]})") ==
        "has an instance a whose `state` is none of starting, ready, terminating, failed");
  CHECK(wrong_with(R"({"instances": [{"name": "a", "state": "ready"}]})") ==
        "has an instance a that is ready and has no `address`");
  CHECK(wrong_with(R"({"instances": [{"name": "a", "state": 1}]})") ==
        "has an instance a with a key that is not a text");
  for (const auto* address : {"host:80", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "::1:80", "[1.2.3.4]:80", "1.2.3.4:"})
    CHECK(wrong_with(R"({"instances": [{"name": "a", "state": "ready", "address": ")" + std::string(address) +
                     R"("}]})") == "has an instance a whose `address` is not IP:PORT, but " + std::string(address));
  CHECK(wrong_with(R"({"instances": [{"name": "a", "state": "starting"}, {"name": "a", "state": "starting"}]})") ==
        "has two instances of the name a");
  CHECK(wrong_with(R"({"instances": [], "shortage": "no"})") ==
        "has a `shortage` that is not an object with the texts `reason` and `detail`");
}

TEST_CASE("a signature is that of the Standard Webhooks specification") {
  // The example of the specification's own libraries.
  const auto key = key_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  REQUIRE(key);
  CHECK(key->size() == 24);
  CHECK(sign(*key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})") ==
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST_CASE("a secret is its own bytes, or base64 behind whsec_") {
  CHECK(key_bytes("secret") == "secret");
  CHECK(key_bytes("whsec_YQ==") == "a");
  CHECK(key_bytes("whsec_YWI=") == "ab");
  CHECK_FALSE(key_bytes("whsec_!"));
  CHECK_FALSE(key_bytes("whsec_"));
}
