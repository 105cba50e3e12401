#pragma once
// Configurations and traces for the simulator's tests. Include after catch.hpp.

#include <memory>
#include <sstream>
#include <string>

#include <catch2/catch.hpp>

#include "activator/simulator/simulation.hpp"
#include "config/load.hpp"

namespace rouse::test {

inline std::shared_ptr<const config::snapshot> configured(const std::string& yaml) {
  auto loaded = config::load_text(yaml, "test.yaml", [](const std::string&) { return std::nullopt; });
  for (const auto& one : loaded.problems) FAIL(one.to_string());
  return std::make_shared<const config::snapshot>(std::move(*loaded.value));
}

inline simulator::trace_result read(const config::snapshot& snapshot, const std::string& rows,
                                    const simulator::trace_defaults& defaults = {}, const std::string& table = {}) {
  std::istringstream in(rows);
  std::istringstream more(table);
  return simulator::read_trace(in, "trace.csv", table.empty() ? nullptr : &more, "functions.csv", snapshot, defaults);
}

}  // namespace rouse::test
