#include "activator/output_lines.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace rouse::activator {
namespace {

struct character {
  std::uint32_t code = 0;
  std::size_t size = 0;  ///< 0: not valid UTF-8
};

/// Decodes one character by table 3-7 of the Unicode standard: no overlong form, no surrogate, nothing above U+10FFFF.
character decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xc2 && lead <= 0xdf   ? 2
                           : (lead & 0xf0) == 0xe0        ? 3
                           : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                          : 0;
  if (size == 0 || text.size() < size) return {};
  std::uint32_t code = lead & (0xffu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, size};
}

bool printable(std::uint32_t code) {
  if (code < 0x20) return code == '\t';
  if (code < 0x7f) return true;
  if (code < 0xa0) return false;
  // Line and paragraph separators, direction marks, embeddings, overrides and isolates, the byte order mark.
  const bool tricky = (code >= 0x200b && code <= 0x200f && code != 0x200c && code != 0x200d) ||
                      (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
  return !tricky;
}

std::string_view escape(std::uint32_t code, bool byte, std::array<char, 16>& scratch) {
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  if (code == 0x1b) return "\\e";
  const int n = std::snprintf(scratch.data(), scratch.size(), byte || code < 0x80 ? "\\x%02x" : "\\u{%04x}", code);
  return {scratch.data(), static_cast<std::size_t>(n)};
}

}  // namespace

std::size_t append_escaped(std::string& to, std::string_view raw, std::size_t most) {
  std::size_t at = 0;
  std::array<char, 16> scratch;
  while (at < raw.size()) {
    // Plain ASCII, which is nearly everything, goes over in runs.
    const auto plain = [](char c) { return c >= 0x20 && c < 0x7f; };
    const auto run =
        static_cast<std::size_t>(std::find_if_not(raw.begin() + at, raw.end(), plain) - (raw.begin() + at));
    if (run > 0) {
      const std::size_t fits = std::min(run, most - std::min(most, to.size()));
      to.append(raw.substr(at, fits));
      at += fits;
      if (fits < run) return at;
      continue;
    }
    const character c = decode(raw.substr(at));
    const std::size_t used = std::max<std::size_t>(c.size, 1);
    const std::string_view text =
        c.size > 0 && printable(c.code)
            ? raw.substr(at, used)
            : escape(c.size > 0 ? c.code : static_cast<std::uint8_t>(raw[at]), c.size == 0, scratch);
    if (to.size() + text.size() > most) return at;
    to.append(text);
    at += used;
  }
  return at;
}

void output_lines::push(std::string_view bytes, clock::time_point now) {
  if (until_ && now < *until_) return skim(bytes);
  buffer_.append(bytes);
}

std::optional<std::string> output_lines::next(clock::time_point now) {
  if (until_) {
    if (now < *until_ && !closed_) return std::nullopt;
    until_.reset();
    const std::uint64_t count = std::exchange(dropped_, 0);
    if (count > 0)
      return std::to_string(count) + (count == 1 ? " line" : " lines") + " dropped: written faster than 1 MiB/s";
  }
  auto line = cut();
  if (!line) return std::nullopt;
  keep(*line);
  if (pay(line->size(), now)) return line;
  until_ = now + pause;
  dropped_ = 1;
  drop_buffered();
  // At the end there is no later moment to report the count in.
  return closed_ ? next(now) : std::nullopt;
}

bool output_lines::pay(std::size_t bytes, clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - refilled_).count();
  tokens_ = std::min(rate, tokens_ + std::max(0.0, seconds) * rate);
  refilled_ = std::max(refilled_, now);
  const auto price = static_cast<double>(bytes + line_cost);
  if (tokens_ < price) return false;
  tokens_ -= price;
  return true;
}

/// Takes one line, or as much of one as a line may be long, off the buffer.
std::optional<std::string> output_lines::cut() {
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  const auto end = rest.find('\n');
  // A character that straddles the cut must not be taken for a broken one: wait until it must be whole.
  const bool whole = end != std::string_view::npos;
  if (!whole && (closed_ ? rest.empty() : rest.size() < max_line + 4)) {
    buffer_.erase(0, std::exchange(begin_, 0));
    return std::nullopt;
  }
  std::string_view raw = rest.substr(0, end);
  if (whole && raw.ends_with('\r')) raw.remove_suffix(1);
  std::string line;
  line.reserve(std::min(raw.size(), max_line));
  const std::size_t used = append_escaped(line, raw, max_line);
  begin_ += whole && used == raw.size() ? end + 1 : used;
  return line;
}

void output_lines::drop_buffered() {
  const std::string rest = buffer_.substr(begin_);
  buffer_.clear();
  begin_ = 0;
  skim(rest);
}

/// Counts lines and keeps the last ones, at the price of a scan for line ends.
void output_lines::skim(std::string_view bytes) {
  const auto count = static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  dropped_ += count;
  if (count > 0) {
    std::size_t skipped = count > max_kept ? count - max_kept : 0;
    if (skipped > 0) buffer_.clear();  // the line it begins is not among the last
    for (; skipped > 0; --skipped) bytes.remove_prefix(bytes.find('\n') + 1);
    for (auto end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
      buffer_.append(bytes.substr(0, end));
      keep(buffer_);
      buffer_.clear();
      bytes.remove_prefix(end + 1);
    }
  }
  // Of an endless line, what a line may have is enough.
  buffer_.append(bytes.substr(0, max_line - std::min(max_line, buffer_.size())));
}

void output_lines::keep(std::string_view raw) {
  if (kept_.size() == max_kept) kept_.pop_front();
  std::string& line = kept_.emplace_back();
  append_escaped(line, raw, max_kept_line);
}

}  // namespace rouse::activator
