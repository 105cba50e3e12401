#include <catch2/catch.hpp>

#include "activator/output_lines.hpp"

using namespace std::chrono_literals;
using rouse::activator::append_escaped;
using rouse::activator::output_lines;

namespace {

const output_lines::clock::time_point start{};

std::string escaped(std::string_view raw) {
  std::string out;
  REQUIRE(append_escaped(out, raw, 1 << 20) == raw.size());
  return out;
}

std::vector<std::string> all(output_lines& lines, output_lines::clock::time_point now) {
  std::vector<std::string> out;
  while (auto line = lines.next(now)) out.push_back(std::move(*line));
  return out;
}

}  // namespace

TEST_CASE("escaping leaves text alone and disarms everything else") {
  CHECK(escaped("plain \\ text\t42") == "plain \\ text\t42");
  CHECK(escaped("Grüße, 世界 🚀") == "Grüße, 世界 🚀");
  CHECK(escaped("\x1b[31mred\x07") == "\\e[31mred\\x07");
  CHECK(escaped("a\rb\x7f") == "a\\rb\\x7f");
  CHECK(escaped(std::string_view("\0", 1)) == "\\x00");
  CHECK(escaped("\xc2\x9b"
                "31m") == "\\u{009b}31m");  // an escape sequence's begin as one character
  CHECK(escaped("\xe2\x80\xae"
                "evil") == "\\u{202e}evil");  // right-to-left override
  CHECK(escaped("\xff\xfe") == "\\xff\\xfe");
  CHECK(escaped("\xc0\xaf") == "\\xc0\\xaf");                    // overlong
  CHECK(escaped("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // a surrogate
  CHECK(escaped("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  CHECK(escaped("\xe4\xb8") == "\\xe4\\xb8");                    // cut short
}

TEST_CASE("escaping stops before its bound, at a whole character") {
  std::string out;
  CHECK(append_escaped(out, "abcdef", 4) == 4);
  CHECK(out == "abcd");
  out = "abc";
  CHECK(append_escaped(out, "ü", 4) == 0);
  CHECK(append_escaped(out, "\x01", 6) == 0);
  CHECK(out == "abc");
}

TEST_CASE("lines are split wherever the reads fell") {
  output_lines lines(start);
  lines.push("one\ntw", start);
  CHECK(all(lines, start) == std::vector<std::string>{"one"});
  lines.push("o\r\n\nthree", start);
  CHECK(all(lines, start) == std::vector<std::string>{"two", ""});
  lines.close();
  CHECK(all(lines, start) == std::vector<std::string>{"three"});
  CHECK(lines.last_lines() == std::vector<std::string>{"one", "two", "", "three"});
  CHECK_FALSE(lines.dropping_until());
}

TEST_CASE("a line without an end is cut, and a character on the cut stays whole") {
  output_lines lines(start);
  std::string text(output_lines::max_line - 1, 'x');
  text += "ü and more";
  lines.push(text, start);
  lines.close();
  const auto got = all(lines, start);
  REQUIRE(got.size() == 2);
  CHECK(got[0] == std::string(output_lines::max_line - 1, 'x'));
  CHECK(got[1] == "ü and more");
}

TEST_CASE("a line that grows when escaped is cut by what it becomes") {
  output_lines lines(start);
  lines.push(std::string(output_lines::max_line, '\x01') + "\nnext\n", start);
  const auto got = all(lines, start);
  REQUIRE(got.size() == 5);  // four letters for each byte, so four full lines, and the next
  std::size_t letters = 0;
  for (const auto& line : got) {
    CHECK(line.size() <= output_lines::max_line);
    letters += line.size();
  }
  CHECK(letters == output_lines::max_line * 4 + 4);
  CHECK(got.back() == "next");
}

TEST_CASE("the last twenty lines are kept, each to a bound") {
  output_lines lines(start);
  for (int i = 0; i < 25; ++i) lines.push(std::to_string(i) + "\n", start);
  lines.push(std::string(5000, 'x') + "\n", start);
  CHECK(all(lines, start).size() == 26);
  const auto kept = lines.last_lines();
  REQUIRE(kept.size() == 20);
  CHECK(kept[0] == "6");
  CHECK(kept[18] == "24");
  CHECK(kept[19] == std::string(output_lines::max_kept_line, 'x'));
}

TEST_CASE("a flood is dropped for a second, counted exactly, and its last lines are kept") {
  output_lines lines(start);
  const std::string line = std::string(99, 'y') + "\n";
  std::uint64_t written = 0;
  std::uint64_t handed_on = 0;
  for (int i = 0; i < 200; ++i) {
    std::string chunk;
    for (int k = 0; k < 100; ++k) chunk += line;
    written += 100;
    lines.push(chunk, start);
    handed_on += all(lines, start).size();
  }
  CHECK(handed_on == static_cast<std::uint64_t>(output_lines::rate) / (99 + output_lines::line_cost));
  REQUIRE(lines.dropping_until());
  CHECK(*lines.dropping_until() == start + 1s);
  lines.push("almost\nlast\npart", start + 999ms);
  written += 2;
  CHECK(all(lines, start + 999ms).empty());
  CHECK(lines.last_lines().back() == "last");

  const auto after = all(lines, start + 1s);
  REQUIRE(after.size() == 1);
  CHECK(after[0] == std::to_string(written - handed_on) + " lines dropped: written faster than 1 MiB/s");
  lines.push("ly dropped? no\n", start + 1s);
  CHECK(all(lines, start + 1s) == std::vector<std::string>{"partly dropped? no"});
}

TEST_CASE("a flood of empty lines is one as well") {
  output_lines lines(start);
  lines.push(std::string(100'000, '\n'), start);
  CHECK(all(lines, start).size() == 4096);
  CHECK(lines.dropping_until());
}

TEST_CASE("what was dropped is said at the end even if the second is not over") {
  output_lines lines(start);
  lines.push(std::string(5000, '\n') + "last words", start);
  CHECK(all(lines, start).size() == 4096);
  lines.close();
  const auto rest = all(lines, start + 1ms);
  REQUIRE(rest.size() >= 2);
  CHECK(rest[0] == "904 lines dropped: written faster than 1 MiB/s");
  CHECK(rest[1] == "last words");
  CHECK(lines.last_lines().back() == "last words");
}

TEST_CASE("an endless line while dropping takes no memory without end") {
  output_lines lines(start);
  lines.push(std::string(5000, '\n'), start);
  all(lines, start);
  REQUIRE(lines.dropping_until());
  for (int i = 0; i < 1000; ++i) lines.push(std::string(65536, 'z'), start);
  lines.close();
  std::size_t most = 0;
  for (const auto& line : all(lines, start + 2s)) most = std::max(most, line.size());
  CHECK(most == output_lines::max_line);
}
