#include <catch2/catch.hpp>
#include <cstdio>
#include <ctime>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "router/normalise.hpp"

using rouse::router::normalise;
using rouse::router::normalised_path;

namespace {

struct spelled {
  std::string path, key;
  std::size_t untouched = 0;
};

std::optional<spelled> spell(std::string_view target) {
  std::string scratch;
  normalised_path result;
  if (!normalise(target, scratch, result)) return std::nullopt;
  return spelled{std::string(result.path), std::string(result.key), result.untouched};
}

std::string path_of(std::string_view target) {
  const auto result = spell(target);
  return result ? result->path : "refused";
}

std::string key_of(std::string_view target) {
  const auto result = spell(target);
  return result ? result->key : "refused";
}

// --- an oracle, written for clarity only
// ------------------------------------------------------------------------------

std::vector<std::string> split(const std::string& text, const std::string& at) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end = text.find(at); end != std::string::npos; end = text.find(at, begin)) {
    parts.push_back(text.substr(begin, end - begin));
    begin = end + at.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  std::string out;
  const auto parts = split(text, from);
  for (std::size_t i = 0; i < parts.size(); ++i) out += (i == 0 ? "" : to) + parts[i];
  return out;
}

/// One segment with every escape in its settled form.
std::optional<std::string> settle(const std::string& segment) {
  std::string out;
  const std::string unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  const std::string reserved = "!$&'()*+,;=:@";
  for (std::size_t i = 0; i < segment.size(); ++i) {
    unsigned byte = static_cast<unsigned char>(segment[i]);
    const bool escape = byte == '%';
    if (escape) {
      const std::string digits = segment.substr(i + 1, 2);
      if (digits.size() != 2 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return {};
      byte = static_cast<unsigned>(std::stoi(digits, nullptr, 16));
      if (byte == 0) return {};
      i += 2;
    } else if (byte <= 0x20 || byte == 0x7f) {
      return {};
    }
    const char c = static_cast<char>(byte);
    if (unreserved.find(c) != std::string::npos || (!escape && reserved.find(c) != std::string::npos)) {
      out += c;
    } else {
      char buffer[16];
      std::snprintf(buffer, sizeof buffer, "%%%02X", byte);
      out += buffer;
    }
  }
  return out;
}

std::optional<std::string> oracle(const std::string& path) {
  if (path.empty() || path[0] != '/') return {};
  std::vector<std::string> kept;
  auto segments = split(path.substr(1), "/");
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const auto settled = settle(segments[i]);
    if (!settled) return {};
    const bool last = i + 1 == segments.size();
    if (*settled == ".") {
      if (last) kept.push_back("");
    } else if (*settled == "..") {
      if (kept.empty() || kept.back().empty()) return {};
      for (const char* mark : {";", "%3B", "%2F", "%5C"})
        if (kept.back().find(mark) != std::string::npos) return {};
      kept.pop_back();
      if (last) kept.push_back("");
    } else {
      for (const std::string& part : split(replaced(*settled, "%5C", "%2F"), "%2F")) {
        const std::string bare = split(replaced(part, "%3B", ";"), ";")[0];
        if (bare == "." || bare == "..") return {};
      }
      kept.push_back(*settled);
    }
  }
  std::string out;
  for (const std::string& segment : kept) out += "/" + segment;
  return out;
}

std::string random_path(std::mt19937& random) {
  static const std::vector<std::string> pieces = {
      "/",  "/", "/",   "/",   ".",   "..",   "a",   "b",   "%2e", "%2E", "%2f", "%2F",   "%5c", "%5C",
      "\\", ";", "%3b", "%3B", "%3A", ":",    "@",   "%40", "%61", "%41", "%25", "%c3",   "%C3", "\xc3",
      "|",  "~", "%7e", "%20", "/a/", "/../", "/./", "/..", "/.",  "...", ".a",  "%2e%2e"};
  std::string path = "/";
  // Rarely something that is always refused, or hardly any path would be left.
  for (unsigned n = random() % 9; n > 0; --n)
    path += random() % 60 == 0 ? std::vector<std::string>{"%00", "%", "%2", "%g1", " ", "\x7f"}[random() % 6]
                               : pieces[random() % pieces.size()];
  return path;
}

}  // namespace

TEST_CASE("a path in normal form is left alone") {
  for (const std::string path : {"/", "/a", "/a/", "//", "/a//b", "/...", "/.well-known/x", "/..a/.b", "/a%2Fb",
                                 "/caf%C3%A9", "/a;v=1/b:c@d", "/x%5Cy"}) {
    std::string scratch = "untouched";
    normalised_path result;
    CAPTURE(path);
    REQUIRE(normalise(path, scratch, result));
    CHECK(result.path == path);
    CHECK(result.key == path);
    CHECK(result.path.data() == result.raw.data());
    CHECK(result.untouched == std::string_view::npos);
    CHECK(scratch == "untouched");
  }
}

TEST_CASE("one spelling for all spellings") {
  CHECK(path_of("/%61dmin") == "/admin");
  CHECK(path_of("/%41%7e%2D") == "/A~-");
  CHECK(path_of("/a%2fb") == "/a%2Fb");
  CHECK(path_of("/a%5cb") == "/a%5Cb");
  CHECK(path_of("/a\\b") == "/a%5Cb");
  CHECK(path_of("/caf\xc3\xa9") == "/caf%C3%A9");
  CHECK(path_of("/a|b<c>") == "/a%7Cb%3Cc%3E");
  CHECK(path_of("/%252e%252e/a") == "/%252e%252e/a");  // decoded once, never twice
  CHECK(path_of("/a?b=/../c") == "/a");
  CHECK(path_of("/a%3Fb") == "/a%3Fb");
}

TEST_CASE("dot segments") {
  CHECK(path_of("/.") == "/");
  CHECK(path_of("/./a") == "/a");
  CHECK(path_of("/a/.") == "/a/");
  CHECK(path_of("/a/..") == "/");
  CHECK(path_of("/a/../") == "/");
  CHECK(path_of("/a/b/../c") == "/a/c");
  CHECK(path_of("/a/b/../../c") == "/c");
  CHECK(path_of("/a/b/..") == "/a/");
  CHECK(path_of("/a/%2e%2E/b") == "/b");
  CHECK(path_of("/a/.%2e/b") == "/b");
  CHECK(path_of("/a/%2e/b") == "/a/b");
  CHECK(path_of("//a/../b") == "//b");
  CHECK(path_of("/a/..?x") == "/");
}

TEST_CASE("what is not a path is refused") {
  for (const std::string target : {"",
                                   "a",
                                   "*",
                                   "?",
                                   "http://h/",
                                   "/..",
                                   "/../a",
                                   "/a/../..",
                                   "/%2e%2e",
                                   "/%2e%2e/a",
                                   "/a/%2E%2e/%2e./b",
                                   "/%",
                                   "/%2",
                                   "/%zz",
                                   "/%0g",
                                   "/a%00",
                                   "/%00",
                                   "/a b",
                                   "/a\tb",
                                   "/a\x7f",
                                   "/a\r\n",
                                   "/a#b",
                                   "/a?b#c",
                                   "/%u002e",
                                   "/a?x#"})
    CHECK(path_of(target) == "refused");
  CHECK(path_of(std::string_view("/a\0b", 4)) == "refused");
}

TEST_CASE("what servers read in different ways is refused") {
  for (const std::string target :
       {"/a/..;/b",  "/a/..;x=1/b", "/a/.;/b",       "/a/%2e%2e;/b", "/a/..%3b/b",    "/a/..%2fb",   "/%2E%2e%2f",
        "/a/..%5cb", "/a/..\\b",    "/a/x%2f..%2fb", "/a/x%2F..",    "/a/x%5C..;y/b", "/a/.%2Fb",    "/a//../b",
        "//../a",    "/a/;x/../b",  "/a/%2F/../b",   "/a/x%5Cy/..",  "/a/x\\y/../b",  "/a/%3Bx/../b"})
    CHECK(path_of(target) == "refused");
  // Close to them, and harmless.
  CHECK(path_of("/a/...;/b") == "/a/...;/b");
  CHECK(path_of("/a/x;../b") == "/a/x;../b");
  CHECK(path_of("/a/..x%2Fb") == "/a/..x%2Fb");
  CHECK(path_of("/a/x%2F...") == "/a/x%2F...");
  CHECK(path_of("/a;v=1/./b") == "/a;v=1/b");
}

TEST_CASE("a route does not care whether a reserved character is escaped; what is forwarded keeps it") {
  CHECK(key_of("/user%3aadmin") == "/user:admin");
  CHECK(path_of("/user%3aadmin") == "/user%3Aadmin");
  CHECK(key_of("/a%40b%2Bc%2fd%25") == "/a@b+c%2Fd%25");
  CHECK(key_of("/a%3F%23") == "/a%3F%23");
  CHECK(key_of("/%253A") == "/%253A");
}

TEST_CASE("untouched tells how far slashes of both spellings are the same ones") {
  CHECK(spell("/%61/b")->untouched == std::string_view::npos);
  CHECK(spell("/a/b/../c")->untouched == 2);
  CHECK(spell("/a/./c")->untouched == 2);
  CHECK(spell("/./a/c/d")->untouched == 0);
  CHECK(spell("/a/b/c/../../d/e/..")->untouched == 2);
}

TEST_CASE("the same as a plain implementation, on random paths; and normal form is final") {
  std::mt19937 random(7);
  unsigned accepted = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string path = random_path(random);
    const auto expected = oracle(path);
    const auto actual = spell(path);
    if (actual.has_value() != expected.has_value() || (actual && actual->path != *expected))
      FAIL(path << ": got " << (actual ? actual->path : "refused") << ", expected " << expected.value_or("refused"));
    if (!actual) continue;
    ++accepted;
    if (path_of(actual->path) != actual->path) FAIL(path << ": " << actual->path << " is not final");
    if (key_of(actual->path) != actual->key) FAIL(path << ": the key depends on the spelling");
  }
  CHECK(accepted > 10'000);
  CHECK(accepted < 50'000);
}

TEST_CASE("long and hostile paths take linear time and space") {
  const auto repeated = [](std::string_view piece) {
    std::string path = "/";
    while (path.size() < 65'536) path += piece;
    return path;
  };
  for (const std::string_view piece : {"/", "a", "a/../", "./", "%2F", "%2f", "%2f.x%5c", "%2fa;", "%2F%2F.x", "%2Fa;",
                                       ";", "%", "%c3", "\xff", "%3A", "a/b/c/../../../", ".../"}) {
    const std::string path = repeated(piece);
    std::string scratch;
    normalised_path result;
    const std::clock_t begin = std::clock();
    for (int i = 0; i < 10; ++i) (void)normalise(path, scratch, result);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;  // of CPU: others may be busy
    CAPTURE(piece);
    CHECK(seconds < 2);  // work that grows with the square of the length takes many times that
    CHECK(scratch.capacity() <= 6 * path.size() + 64);
  }
}
