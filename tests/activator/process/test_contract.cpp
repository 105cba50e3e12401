#include "tests/activator/process/bed.hpp"

TEST_CASE("the process backend keeps the contract of all backends") {
  rouse::activator::contract::backend_contract<rouse::process::test::process_fixture>();
}

TEST_CASE("also where it freezes by signals") {
  rouse::activator::contract::backend_contract<rouse::process::test::signals_fixture>();
}
