#include "tests/activator/process/bed.hpp"

using rouse::process::freezing;
using rouse::process::test::process_fixture_by;

TEST_CASE("the process backend keeps the contract of all backends") {
  rouse::activator::contract::backend_contract<process_fixture_by<freezing::best, true>>();
}

TEST_CASE("also where it freezes by signals") {
  rouse::activator::contract::backend_contract<process_fixture_by<freezing::signals, true>>();
}
