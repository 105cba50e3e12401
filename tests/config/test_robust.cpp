// Nothing that somebody types crashes or hangs the loader, and large files load in time that grows with their size.
#include <catch2/catch.hpp>
#include <ctime>
#include <random>

#include "support.hpp"

using namespace config_test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool instrumented = true;
#else
constexpr bool instrumented = false;
#endif

/// What must hold for any text: a snapshot or problems, never both, and every place lies in the text.
void check_sane(const std::string& text) {
  auto const result = load(text, {{"A", "1"}});
  bool sane = result.value.has_value() == result.problems.empty();
  auto const lines = std::count(text.begin(), text.end(), '\n') + 2;
  for (const auto& p : result.problems) {
    // Included files are not in this text; t.yaml always has a place.
    if (p.file == "t.yaml") sane = sane && p.line >= 1 && p.line <= lines && p.column >= 1;
    sane = sane && !p.message.empty() && p.message.find('\n') == std::string::npos;
  }
  if (!sane) {
    INFO(text);
    INFO(joined(problems(result)));
    FAIL("not sane");
  }
}

std::string large(int count) {
  std::string text = "functions:\n";
  for (int i = 0; i < count; ++i) {
    std::string const n = std::to_string(i);
    text += "  fn-" + n + ":\n    command: [python3, app.py, \"" + n +
            "\"]\n    env: {LEVEL: \"3\"}\n    timeout: 30s\n    scale: {max: 5}\n";
  }
  text += "routes:\n";
  for (int i = 0; i < count; ++i) {
    std::string const n = std::to_string(i);
    text += "  - {host: h" + n + ".example.com, path: /p" + n + "/*, function: fn-" + n + "}\n";
  }
  return text;
}

/// CPU seconds of loading `text`: other programs on the machine do not count.
double cpu_seconds(const std::string& text, std::size_t& found) {
  std::clock_t const begin = std::clock();
  auto const result = load(text);
  found = result.value ? result.value->functions.size() : result.problems.size();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace

TEST_CASE("every beginning of a right file") {
  std::string const text = read_all(repository_file("config/examples/all-keys.yaml"));
  REQUIRE(text.size() > 1000);
  std::size_t const step = instrumented ? 3 : 1;
  for (std::size_t length = 0; length <= text.size(); length += step) check_sane(text.substr(0, length));
}

TEST_CASE("a right file with random damage") {
  std::string const text = read_all(repository_file("config/examples/all-keys.yaml"));
  std::string const alphabet = "{}[]:,-?&*!|>'\"%@`#$~ \t\n\r/.0aA\x01\x04\x80\xff";
  std::mt19937 random(20240229);  // the same damage in every run
  auto const below = [&](std::size_t n) { return random() % n; };
  int const rounds = instrumented ? 2000 : 6000;
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = text;
    for (std::size_t k = 1 + below(4); k > 0; --k) {
      std::size_t const at = below(damaged.size());
      switch (below(5)) {
        case 0:
          damaged[at] = alphabet[below(alphabet.size())];
          break;
        case 1:
          damaged.insert(at, 1, alphabet[below(alphabet.size())]);
          break;
        case 2:
          damaged.erase(at, 1 + below(20));
          break;
        case 3:
          damaged.insert(at, damaged.substr(below(damaged.size()), 1 + below(60)));
          break;
        default:
          damaged.resize(at);
          break;
      }
      if (damaged.empty()) break;
    }
    check_sane(damaged);
  }
}

TEST_CASE("random indicators") {
  std::string const alphabet = "{}[]:,-?&*!|>'\"%#$~ \n a<";
  std::mt19937 random(7);
  int const rounds = instrumented ? 20'000 : 60'000;
  for (int round = 0; round < rounds; ++round) {
    std::string text;
    for (std::size_t n = 1 + random() % 24; n > 0; --n) text += alphabet[random() % alphabet.size()];
    check_sane(text);
  }
}

TEST_CASE("10,000 functions and 10,000 routes") {
  std::size_t small_count = 0;
  std::size_t count = 0;
  double const small = cpu_seconds(large(2'500), small_count);
  double const all = cpu_seconds(large(10'000), count);
  INFO("10,000 functions and routes: " << all << " s of CPU");
  CHECK(small_count == 2'500);
  CHECK(count == 10'000);
  CHECK(all < (instrumented ? 60.0 : 5.0));
  CHECK(all < 12 * small);  // linear is 4, quadratic 16
}

TEST_CASE("10,000 problems of the slow kind") {
  std::string text = large(10'000);
  for (std::size_t at = text.find("function: fn-"); at != std::string::npos; at = text.find("function: fn-", at)) {
    text.replace(at, 13, "function: fm-");
  }
  std::size_t count = 0;
  double const seconds = cpu_seconds(text, count);
  CHECK(count == 10'000);
  CHECK(seconds < (instrumented ? 60.0 : 10.0));
}

TEST_CASE("an exception becomes a problem") {
  auto const result =
      config::load_text("server: {workers: \"${A}\"}\n", "t.yaml",
                        [](const std::string&) -> std::optional<std::string> { throw std::bad_alloc(); });
  REQUIRE(result.problems.size() == 1);
  CHECK_THAT(result.problems[0].to_string(), Catch::StartsWith("t.yaml: the configuration could not be loaded: "));
}
