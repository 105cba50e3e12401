#include "gateway/access_log.hpp"

#include <array>
#include <ctime>

#include <fmt/format.h>

#include "gateway/escape.hpp"

namespace rouse::gateway {
namespace {

void append_clf_time(std::string& out, std::chrono::system_clock::time_point at) {
  static constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto seconds = std::chrono::system_clock::to_time_t(at);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  fmt::format_to(std::back_inserter(out), "[{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000]", utc.tm_mday,
                 months[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::string combined_line(const access_entry& entry) {
  std::string line;
  line.reserve(256 + entry.target.size() + entry.user_agent.size() + entry.referer.size());
  append_access_text(line, entry.peer);
  line += " - - ";
  append_clf_time(line, entry.at);
  line += " \"";
  if (entry.method.empty()) {
    line += '-';  // no request line could be read
  } else {
    append_access_text(line, entry.method);
    line += ' ';
    append_access_text(line, entry.target);
    line += entry.version == 10 ? " HTTP/1.0" : " HTTP/1.1";
  }
  fmt::format_to(std::back_inserter(line), "\" {} {} \"", entry.status, entry.bytes_out);
  append_access_text(line, entry.referer);
  line += "\" \"";
  append_access_text(line, entry.user_agent);
  line += "\"\n";
  return line;
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out += ",\"";
  out += name;
  out += "\":";
  append_json_string(out, value);
}

std::string json_line(const access_entry& entry) {
  std::string line = R"({"ts":")";
  line.reserve(384 + entry.target.size() + entry.user_agent.size() + entry.referer.size());
  append_rfc3339(line, entry.at);
  line += '"';
  append_member(line, "peer", entry.peer);
  append_member(line, "method", entry.method);
  append_member(line, "host", entry.host);
  append_member(line, "target", entry.target);
  fmt::format_to(std::back_inserter(line),
                 R"(,"version":"{}","status":{},"bytes_in":{},"bytes_out":{},"duration_ms":{:.3f})",
                 entry.version == 10 ? "1.0" : "1.1", entry.status, entry.bytes_in, entry.bytes_out, entry.duration_ms);
  fmt::format_to(std::back_inserter(line), R"(,"park_ms":{:.3f},"cold":{})", entry.park_ms, entry.cold);
  append_member(line, "function", entry.function);
  append_member(line, "request_id", entry.request_id);
  append_member(line, "user_agent", entry.user_agent);
  append_member(line, "referer", entry.referer);
  line += "}\n";
  return line;
}

}  // namespace

std::string format_access(config::access_log format, const access_entry& entry) {
  return format == config::access_log::combined ? combined_line(entry) : json_line(entry);
}

access_logger::access_logger(config::access_log format, spdlog::logger& log, int descriptor) : format_(format) {
  if (format == config::access_log::off) return;
  const auto say = [&log](std::uint64_t dropped) {
    log.warn("{} lines of the access log were dropped: standard output is not read fast enough", dropped);
    return std::string();
  };
  writer_ = std::make_unique<line_writer>(descriptor, say);
}

access_logger::~access_logger() = default;

void access_logger::write(const access_entry& entry) {
  if (writer_) writer_->write(format_access(format_, entry));
}

}  // namespace rouse::gateway
