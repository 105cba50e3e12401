// What is Docker's own: what becomes of containers that an earlier rouse left in any state, and of those of two
// backends.

#include "tests/activator/docker/engine/bed.hpp"

using namespace rouse::docker;
using namespace rouse::docker::test;
using rouse::activator::contract::run_until;
using std::chrono::milliseconds;

namespace {

/// A container as a rouse before this one would have made it, in some state.
std::string left_behind(const rouse::activator::start_spec& spec, const std::string& owner, const std::string& pool,
                        std::vector<std::string> steps) {
  const std::string name = container_name(spec.instance, std::random_device{}());
  const auto made = ask_engine("POST", "/containers/create?name=" + name, create_body(spec, owner, pool, {}, true));
  REQUIRE(made.status == 201);
  for (const auto& step : steps) REQUIRE(ask_engine("POST", "/containers/" + name + step).status == 204);
  return name;
}

bool exists(const std::string& owner, const std::string& name, container_state state) {
  for (const auto& one : containers_of(owner))
    if (one.name == name) return one.state == state;
  return false;
}

}  // namespace

TEST_CASE("what an earlier rouse left, in whatever state") {
  bed on;
  on.fixture.destroy();
  const auto& owner = on.fixture.owner;
  auto spec = on.fixture.starts();
  spec.key = 1;
  auto other = spec;
  other.revision = "hello-00002";
  const auto created = left_behind(spec, owner, "docker", {});
  const auto paused = left_behind(spec, owner, "docker", {"/start", "/pause"});
  const auto ended = left_behind(spec, owner, "docker", {"/start", "/kill"});
  const auto old = left_behind(other, owner, "docker", {"/start", "/pause"});
  const auto foreign = left_behind(spec, owner, "another-pool", {"/start"});

  on.fixture.restart();
  on.fixture.get().serve(spec);
  REQUIRE(run_until(on.control, [&] { return !on.heard.found.empty(); }));
  CHECK(on.heard.found.size() == 1);
  CHECK(on.heard.found.front().second == paused);
  CHECK(exists(owner, old, container_state::paused));  // not everything was served yet
  on.fixture.get().all_served();
  CHECK(run_until(on.control, [&] { return containers_of(owner).size() == 2; }));
  CHECK(exists(owner, paused, container_state::paused));
  CHECK(exists(owner, foreign, container_state::running));

  spec.id = 1;
  spec.found = paused;
  on.fixture.get().start(spec);
  REQUIRE(on.ready(1));
  CHECK(exists(owner, paused, container_state::running));
  CHECK(rouse::activator::contract::get_status(rouse::activator::contract::dial(on.of(1).where)) == 200);
  // Nobody is there twice.
  spec.id = 2;
  on.fixture.get().start(spec);
  REQUIRE(on.ended(2));
  CHECK(on.of(2).exit.reason == "gone");
  on.fixture.get().stop(1, milliseconds(0));
  REQUIRE(on.ended(1));
  CHECK(containers_of(owner).size() == 1);
}

TEST_CASE("two backends of one pool leave each other's containers alone, and see what is started by hand") {
  bed on;
  const auto id = on.start(on.fixture.starts());
  REQUIRE(on.ready(id));
  rouse::activator::contract::recorder heard;
  docker_settings settings;
  settings.pool = "docker";
  settings.socket = engine_socket();
  settings.owner = on.fixture.owner;
  settings.in_use = on.fixture.in_use;
  docker_backend next(on.control, heard, settings);
  auto spec = on.fixture.starts();
  spec.key = 1;
  next.serve(spec);
  next.all_served();
  const auto by_hand = left_behind(spec, on.fixture.owner, "docker", {"/start"});
  // Both may see it; each tells it once.
  REQUIRE(run_until(on.control, [&] { return !heard.found.empty(); }));
  CHECK(heard.found.size() == 1);
  CHECK(heard.found.front().second == by_hand);
  CHECK(on.of(id).exits == 0);
  CHECK(exists(on.fixture.owner, by_hand, container_state::running));
}

TEST_CASE("an engine that stays away is waited for for a while; then what waits fails, and what comes does at once") {
  bed on;
  const auto kept = on.start(on.fixture.starts());
  REQUIRE(on.ready(kept));
  on.fixture.cut();
  const auto begun = std::chrono::steady_clock::now();
  const auto waits = on.start(on.fixture.starts());  // for a minute, if it has to
  REQUIRE(run_until(
      on.control, [&] { return on.of(waits).exits == 1; }, std::chrono::seconds(40)));
  const auto took = std::chrono::steady_clock::now() - begun;
  CHECK(took > std::chrono::seconds(8));
  CHECK(took < std::chrono::seconds(18));
  CHECK(on.of(waits).exit.reason == "unavailable");
  CHECK(on.of(waits).exit.detail.find("does not answer") != std::string::npos);
  const auto later = std::chrono::steady_clock::now();
  const auto hopeless = on.start(on.fixture.starts());
  REQUIRE(on.ended(hopeless));
  CHECK(on.of(hopeless).exit.reason == "unavailable");
  CHECK(std::chrono::steady_clock::now() - later < std::chrono::seconds(5));
  CHECK(on.of(kept).exits == 0);

  on.fixture.restore();
  REQUIRE(run_until(
      on.control, [&] { return on.heard.state.problem.empty(); }, std::chrono::seconds(40)));
  const auto next = on.start(on.fixture.starts());
  REQUIRE(on.ready(next));
  for (const auto id : {kept, next}) on.stop(id, milliseconds(0));
  for (const auto id : {kept, next}) REQUIRE(on.ended(id));
  CHECK(run_until(on.control, [&] { return containers_of(on.fixture.owner).empty(); }));
}
