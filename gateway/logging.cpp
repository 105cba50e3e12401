#include "gateway/logging.hpp"

#include <array>
#include <cstdlib>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <spdlog/sinks/sink.h>

#include "gateway/escape.hpp"

namespace rouse::gateway {
namespace {

struct level_word {
  std::string_view word;
  std::string_view colour;
};

/// By spdlog's number of the level.
constexpr std::array<level_word, 7> level_words{{{"trace", "\x1b[2m"},
                                                 {"debug", "\x1b[2m"},
                                                 {"info", "\x1b[32m"},
                                                 {"warn", "\x1b[33m"},
                                                 {"error", "\x1b[31m"},
                                                 {"critical", "\x1b[31m"},
                                                 {"off", ""}}};

std::string text_line(spdlog::level::level_enum level, spdlog::log_clock::time_point at, std::string_view message,
                      bool colour) {
  const auto& word = level_words[static_cast<std::size_t>(level)];
  std::string line;
  line.reserve(48 + message.size());
  append_rfc3339(line, at);
  if (colour) {
    fmt::format_to(std::back_inserter(line), " {}{:<5}\x1b[0m ", word.colour, word.word);
  } else {
    fmt::format_to(std::back_inserter(line), " {:<5} ", word.word);
  }
  append_line_text(line, message);
  line += '\n';
  return line;
}

std::string json_line(spdlog::level::level_enum level, spdlog::log_clock::time_point at, std::string_view message) {
  std::string line = R"({"ts":")";
  line.reserve(80 + message.size());
  append_rfc3339(line, at);
  line += R"(","level":")";
  line += level_words[static_cast<std::size_t>(level)].word;
  line += R"(","msg":)";
  append_json_string(line, message);
  line += "}\n";
  return line;
}

std::string any_line(const log_options& options, spdlog::level::level_enum level, spdlog::log_clock::time_point at,
                     std::string_view message) {
  return options.json ? json_line(level, at, message) : text_line(level, at, message, options.colour);
}

std::string dropped_line(const log_options& options, std::uint64_t dropped) {
  return any_line(options, spdlog::level::warn, spdlog::log_clock::now(),
                  fmt::format("{} log lines were dropped: standard error is not read fast enough", dropped));
}

/// The shape of a line is ours, not a pattern's: what is logged must stay one line. Takes no lock but the writer's.
class line_sink final : public spdlog::sinks::sink {
 public:
  line_sink(line_writer& to, const log_options& options) : to_(to), options_(options) {}
  void log(const spdlog::details::log_msg& message) override {
    to_.write(any_line(options_, message.level, message.time, {message.payload.data(), message.payload.size()}));
  }
  void flush() override {}  // the writer flushes by itself; nobody who logs waits for it
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  line_writer& to_;
  const log_options options_;
};

spdlog::level::level_enum level_of(std::string_view word) {
  for (std::size_t i = 0; i < level_words.size(); ++i) {
    if (level_words[i].word == word) return static_cast<spdlog::level::level_enum>(i);
  }
  return spdlog::level::info;
}

}  // namespace

bool wants_colour(int descriptor) {
  const char* refused = std::getenv("NO_COLOR");
  return (!refused || !*refused) && ::isatty(descriptor);
}

bool is_log_level(std::string_view word) noexcept {
  return word == "debug" || word == "info" || word == "warn" || word == "error";
}

log_output::log_output(const log_options& options)
    : writer_(options.descriptor, [options](std::uint64_t dropped) { return dropped_line(options, dropped); }),
      logger_(std::make_unique<spdlog::logger>("rouse", std::make_shared<line_sink>(writer_, options))) {
  logger_->set_level(level_of(options.level));
}

log_output::~log_output() = default;

}  // namespace rouse::gateway
