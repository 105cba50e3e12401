#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "activator/backend/docker/container.hpp"

using namespace rouse::docker;
using nlohmann::json;

namespace {

rouse::activator::start_spec spec() {
  rouse::activator::start_spec made;
  made.function = "thumb";
  made.revision = "v1";
  made.hash = 0x12ab;
  made.instance = "v1-7";
  made.image = "thumb:3";
  return made;
}

json body_of(const rouse::activator::start_spec& of, const std::string& network = {}, bool init = true) {
  return json::parse(create_body(of, "me", "cloud", network, init));
}

}  // namespace

TEST_CASE("what is asked for when a container is made") {
  auto it = spec();
  json body = body_of(it);
  CHECK(body["Image"] == "thumb:3");
  CHECK(body["Env"] == json({"K_CONFIGURATION=thumb", "K_REVISION=v1", "K_SERVICE=thumb", "PORT=8080"}));
  CHECK_FALSE(body.contains("Cmd"));
  CHECK(body["Labels"] == json({{"rouse.owner", "me"},
                                {"rouse.pool", "cloud"},
                                {"rouse.function", "thumb"},
                                {"rouse.revision", "v1"},
                                {"rouse.hash", "000012ab"},
                                {"rouse.instance", "v1-7"}}));
  CHECK(body["StopTimeout"] == 30);
  CHECK(body["HostConfig"]["Init"] == true);
  for (const auto* unset : {"Memory", "NanoCpus", "NetworkMode", "RestartPolicy", "AutoRemove"})
    CHECK_FALSE(body["HostConfig"].contains(unset));

  it.command = {"serve", "--fast"};
  it.env = {{"LEVEL", "3"}, {"PORT", "1"}, {"BAD", "\xff"}};
  it.port = 9000;
  it.memory = 64 << 20;
  it.cpu = 0.5;
  it.stop_grace = std::chrono::milliseconds(1500);
  body = body_of(it, "inner", false);
  CHECK(body["Cmd"] == json({"serve", "--fast"}));
  CHECK(body["Env"][5] == "PORT=9000");
  CHECK(body["Env"][4] == "LEVEL=3");
  CHECK(body["HostConfig"]["Memory"] == 64 << 20);
  CHECK(body["HostConfig"]["MemorySwap"] == 64 << 20);
  CHECK(body["HostConfig"]["NanoCpus"] == 500'000'000);
  CHECK(body["HostConfig"]["NetworkMode"] == "inner");
  CHECK(body["HostConfig"]["Init"] == false);
  CHECK(body["StopTimeout"] == 2);
}

TEST_CASE("names and queries") {
  CHECK(container_name("v1-7", 0xbeef) == "rouse-v1-7-0000beef");
  CHECK(container_name("größe", 1) == "rouse-gr____e-00000001");
  CHECK(percent_encoded("{\"a\":1}/b-c_d.e~") == "%7B%22a%22%3A1%7D%2Fb-c_d.e~");
  CHECK(pull_query("python") == "fromImage=python&tag=latest");
  CHECK(pull_query("python:3") == "fromImage=python&tag=3");
  CHECK(pull_query("here:5000/a/b") == "fromImage=here%3A5000%2Fa%2Fb&tag=latest");
  CHECK(pull_query("here:5000/a/b:v1") == "fromImage=here%3A5000%2Fa%2Fb&tag=v1");
  CHECK(pull_query("a/b@sha256:12") == "fromImage=a%2Fb&tag=sha256%3A12");
  CHECK(pull_query("a/b:3@sha256:12") == "fromImage=a%2Fb&tag=sha256%3A12");
  CHECK(label_filter("me", "p", false) ==
        "filters=" + percent_encoded("{\"label\":[\"rouse.owner=me\",\"rouse.pool=p\"]}"));
  CHECK(label_filter("me", "p", true).find("%22die%22") != std::string::npos);
}

TEST_CASE("a list of containers") {
  const auto found = parse_list(
      R"([{"Id":"1","Names":["/other/alias","/rouse-a-1"],"State":"running","Labels":{"rouse.owner":"me","rouse.pool":"p",
          "rouse.function":"thumb","rouse.revision":"v1","rouse.hash":"000012ab","rouse.instance":"v1-3","x":"y"}},
         {"Names":["/rouse-b-1"],"State":"paused","Labels":null},
         {"Names":["/c"],"State":"exited"},{"Names":["/d"],"State":"created"},{"Names":["/e"],"State":"dead"},
         {"Names":null,"State":"running"}])");
  REQUIRE(found);
  REQUIRE(found->size() == 5);
  CHECK((*found)[0].name == "rouse-a-1");
  CHECK((*found)[0].state == container_state::running);
  CHECK((*found)[0].of.owner == "me");
  CHECK((*found)[0].of.instance == "v1-3");
  CHECK(runs((*found)[0].of, spec()));
  auto other = spec();
  other.hash = 1;
  CHECK_FALSE(runs((*found)[0].of, other));
  CHECK((*found)[1].state == container_state::paused);
  CHECK_FALSE(runs((*found)[1].of, spec()));
  CHECK((*found)[3].state == container_state::created);
  CHECK((*found)[4].state == container_state::exited);
  CHECK(parse_list("[]")->empty());
  CHECK_FALSE(parse_list("{}"));
  CHECK_FALSE(parse_list("not JSON"));
}

TEST_CASE("a look at a container") {
  const std::string text =
      R"({"State":{"Status":"running","ExitCode":0,"OOMKilled":false,"Error":""},"Config":{"StopSignal":"SIGQUIT"},
          "NetworkSettings":{"IPAddress":"","Networks":{"inner":{"IPAddress":"10.1.0.2","GlobalIPv6Address":""},
          "other":{"IPAddress":"10.2.0.2"}}}})";
  const auto in = parse_details(text, "inner");
  REQUIRE(in);
  CHECK(in->state == container_state::running);
  CHECK(in->address == "10.1.0.2");
  CHECK(in->stop_signal == "SIGQUIT");
  CHECK(parse_details(text, "other")->address == "10.2.0.2");
  CHECK(parse_details(text, "third")->address.empty());
  CHECK_FALSE(parse_details(text, "")->address.empty());
  CHECK(parse_details(R"({"State":{},"NetworkSettings":{"Networks":{"b":{"GlobalIPv6Address":"fd00::2"}}}})", "")
            ->address == "fd00::2");
  CHECK_FALSE(parse_details("{\"message\":\"No such container\"}", ""));
}

TEST_CASE("how a container ended") {
  container_details it;
  it.exit_code = 3;
  CHECK(describe_exit(it, 0) == "exited with status 3");
  CHECK(exit_word(it) == "exited");
  it.exit_code = 137;
  CHECK(describe_exit(it, 0) == "was killed by SIGKILL");
  CHECK(exit_word(it) == "signalled");
  it.exit_code = 255;
  CHECK(describe_exit(it, 0) == "exited with status 255");
  CHECK(exit_word(it) == "exited");
  it.oom_killed = true;
  CHECK(describe_exit(it, 64 << 20) ==
        "was killed by the kernel for want of memory: `resources.memory` allows it 64 MiB");
}

TEST_CASE("events, and what the engine says is wrong") {
  const auto died = parse_event(
      R"({"Type":"container","Action":"die","Actor":{"ID":"1","Attributes":{"exitCode":"7","name":"rouse-a-1"}},"time":1})");
  REQUIRE(died);
  CHECK(died->action == "die");
  CHECK(died->name == "rouse-a-1");
  CHECK(died->exit_code == 7);
  CHECK_FALSE(parse_event(R"({"Type":"image","Action":"pull"})"));
  CHECK_FALSE(parse_event("{"));
  CHECK(message_of("{\"message\":\"No such image: x:latest\"}\n") == "No such image: x:latest");
  CHECK(message_of("plain text.\n") == "plain text");

  CHECK(failure_word("write /var/lib/docker/x: no space left on device") == "no-capacity");
  CHECK(failure_word("Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available") == "no-capacity");
  CHECK(failure_word("no available IPv4 addresses on this network's address pools: bridge") == "no-capacity");
  CHECK(failure_word("network inner not found") == "network");
  CHECK(failure_word("OCI runtime create failed: exec: \"x\": executable file not found in $PATH") == "spawn");
}
