// The contract that all backends keep, against a real API server; and what is Kubernetes' own.

#include <filesystem>

#include "tests/activator/kubernetes/cluster/bed.hpp"

using namespace rouse::activator::contract;
using Catch::Contains;
using rouse::kubernetes::test::fixture;
using std::chrono::milliseconds;

using bed = bench<fixture>;

TEST_CASE("the kubernetes backend keeps the contract") {
  backend_contract<fixture>();
}

TEST_CASE("the one that is chosen goes: it is marked before the count is lowered") {
  bed on;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(on.start(on.fixture.starts()));
  for (const auto id : ids) REQUIRE(on.ready(id));
  for (const auto id : {ids[1], ids[2]}) {
    on.stop(id, milliseconds(5000));
    REQUIRE(on.ended(id));
    CHECK(on.of(id).exit.was_asked);
    CHECK(on.refuses(on.of(id).where));
  }
  CHECK(on.fixture.replicas("starts") == 2);
  for (const auto id : {ids[0], ids[3]}) {
    CHECK(on.of(id).exits == 0);
    CHECK_FALSE(on.of(id).leaving);
    CHECK(get_status(dial(on.of(id).where)) == 200);
  }
}

TEST_CASE("a pod that is deleted by hand drains, and its successor is found") {
  bed on;
  const auto id = on.start(on.fixture.starts());
  REQUIRE(on.ready(id));
  const std::string name = on.fixture.pods("starts")[0]["metadata"]["name"];
  on.fixture.admin().ask("DELETE", "/api/v1/namespaces/" + on.fixture.space() + "/pods/" + name);
  REQUIRE(run_until(on.control, [&] { return on.of(id).leaving || on.of(id).exits > 0; }));
  on.stop(id, milliseconds(1000));
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.was_ready);
  const auto next = on.start(on.fixture.starts(), on.found());
  REQUIRE(on.ready(next));
  CHECK(on.fixture.replicas("starts") == 1);
}

TEST_CASE("what is scaled by hand is found, or leaves") {
  bed on;
  const auto id = on.start(on.fixture.starts());
  REQUIRE(on.ready(id));
  on.fixture.scale_by_hand("starts", 2);
  const auto second = on.start(on.fixture.starts(), on.found());
  REQUIRE(on.ready(second));
  on.fixture.scale_by_hand("starts", 0);
  for (const auto one : {id, second}) {
    REQUIRE(run_until(on.control, [&] { return on.of(one).leaving || on.of(one).exits > 0; }));
    on.stop(one, milliseconds(0));
    REQUIRE(on.ended(one));
  }
  CHECK(on.fixture.replicas("starts") == 0);
}

TEST_CASE("why a pod does not come up is told within seconds, and it is not left behind") {
  bed on;
  const auto check = [&](const char* name, const char* behaviour, const char* reason, const char* words) {
    const auto id = on.start(on.fixture.spec_of(name, behaviour, {}));
    REQUIRE(run_until(
        on.control, [&] { return on.of(id).exits > 0; }, milliseconds(10'000)));
    CHECK(on.of(id).exit.reason == reason);
    CHECK_THAT(on.of(id).exit.detail, Contains(words));
    CHECK(run_until(on.control, [&] { return on.fixture.pods(name).empty(); }));
    CHECK(on.fixture.replicas(name) == 0);
  };
  check("pull", "image-pull", "image", "not found");
  check("loop", "crash-loop", "crash-loop", "status 1");
  check("room", "unschedulable", "no-capacity", "Insufficient memory");
}

TEST_CASE("a Deployment that does not exist yet") {
  bed on;
  auto spec = on.fixture.starts();
  spec.deployment = "later";
  on.serve(spec);
  const auto id = on.start(spec);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.reason == "missing");
  CHECK_THAT(on.of(id).exit.detail, Contains("no Deployment later in namespace " + on.fixture.space()));
  on.fixture.spec_of("later", {}, {});
  std::uint64_t next = 0;
  for (int i = 0; i < 50; ++i) {
    next = on.start(spec);
    if (on.ready(next)) break;
    run_until(
        on.control, [] { return false; }, milliseconds(20));
  }
  CHECK(on.of(next).ready == 1);
}

TEST_CASE("a port that the Service does not have is told when the time is up") {
  bed on;
  auto spec = on.fixture.starts();
  spec.port_name = "grpc";
  spec.start_timeout = milliseconds(1500);
  const auto id = on.start(spec);
  REQUIRE(on.ended(id));
  CHECK(on.of(id).exit.reason == "timeout");
  CHECK_THAT(on.of(id).exit.detail, Contains("no port called \"grpc\""));
}

TEST_CASE("who one is may be shown by a client certificate") {
  boost::asio::io_context control{1};
  recorder heard;
  fixture other(control, heard);
  auto spec = other.starts();
  other.destroy();
  rouse::kubernetes::kubernetes_settings settings;
  settings.pool = "k";
  settings.name_space = other.space();
  settings.kubeconfig = rouse::kubernetes::test::environment("ROUSE_TEST_KUBECONFIG_CERTIFICATE");
  rouse::kubernetes::kubernetes_backend with(control, heard, settings);
  spec.id = 1;
  with.serve(spec);
  with.start(spec);
  REQUIRE(run_until(control, [&] { return heard.of(1).ready > 0; }));
}

TEST_CASE("a kubeconfig that cannot be read is tried again") {
  boost::asio::io_context control{1};
  recorder heard;
  fixture other(control, heard);
  auto spec = other.starts();
  other.destroy();
  const std::string path = other.folder() + "/kubeconfig";
  rouse::kubernetes::kubernetes_settings settings;
  settings.pool = "k";
  settings.name_space = other.space();
  settings.kubeconfig = path;
  rouse::kubernetes::kubernetes_backend with(control, heard, settings);
  spec.id = 1;
  with.serve(spec);
  with.start(spec);
  REQUIRE(run_until(control, [&] { return !heard.state.problem.empty(); }));
  CHECK_THAT(heard.state.problem, Contains(path));
  std::filesystem::copy_file(rouse::kubernetes::test::environment("KUBECONFIG"), path);
  REQUIRE(run_until(control, [&] { return heard.of(1).ready > 0; }));
  CHECK(heard.state.problem.empty());
}
