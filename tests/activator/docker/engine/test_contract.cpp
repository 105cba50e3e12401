#include "tests/activator/docker/engine/bed.hpp"

TEST_CASE("the Docker backend keeps the contract of all backends") {
  rouse::activator::contract::backend_contract<rouse::docker::test::docker_fixture>();
}
