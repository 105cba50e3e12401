#include "activator/backend/docker/streams.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "activator/backend/docker/container.hpp"

namespace rouse::docker {
namespace {

constexpr std::size_t frame_head = 8;
constexpr std::size_t most_line = 1024 * 1024;
constexpr auto quiet_for = std::chrono::milliseconds(500);
constexpr std::uint64_t mebibyte = 1024 * 1024;

std::uint64_t number_at(const nlohmann::json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

}  // namespace

void frame_reader::push(std::string_view bytes, const std::function<void(std::string_view)>& output) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      const auto take = std::min(bytes.size(), frame_head - head_.size());
      head_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (head_.size() < frame_head) return;
      for (std::size_t i = 4; i < frame_head; ++i) left_ = left_ << 8 | static_cast<unsigned char>(head_[i]);
      head_.clear();
      continue;
    }
    const auto take = std::min(bytes.size(), left_);
    output(bytes.substr(0, take));
    bytes.remove_prefix(take);
    left_ -= take;
  }
}

void line_reader::push(std::string_view bytes, const std::function<void(std::string_view)>& line) {
  for (auto end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
    rest_.append(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
    const std::string whole = std::exchange(rest_, {});
    if (!std::exchange(too_long_, false) && !whole.empty()) line(whole);
  }
  if (rest_.size() + bytes.size() > most_line) too_long_ = true;
  if (too_long_) return rest_.clear();
  rest_.append(bytes);
}

void pull_progress::hear(std::string_view line) {
  const auto said = nlohmann::json::parse(line, nullptr, false);
  if (!said.is_object()) return;
  if (const auto wrong = said.find("error"); wrong != said.end() && wrong->is_string()) {
    error_ = message_of(wrong->get<std::string>());
    return;
  }
  const auto id = said.find("id");
  const auto status = said.find("status");
  const auto detail = said.find("progressDetail");
  if (id == said.end() || !id->is_string() || status == said.end() || !status->is_string()) return;
  const auto word = status->get<std::string>();
  const bool loads = word == "Downloading";
  if (!loads && word != "Download complete" && word != "Extracting" && word != "Pull complete") return;
  layer& one = layers_[id->get<std::string>()];
  if (!loads) {
    one.current = one.total;
    one.unpacking = word != "Pull complete";
  } else if (detail != said.end() && detail->is_object()) {
    one.current = number_at(*detail, "current");
    one.total = std::max(one.total, number_at(*detail, "total"));
  }
}

std::optional<std::string> pull_progress::news(clock::time_point now) {
  if (!said_.empty() && now - said_at_ < quiet_for) return std::nullopt;
  std::string now_said = text();
  if (now_said == said_) return std::nullopt;
  said_ = now_said;
  said_at_ = now;
  return now_said;
}

std::string pull_progress::text() const {
  std::uint64_t current = 0;
  std::uint64_t total = 0;
  bool unpacking = false;
  for (const auto& [id, one] : layers_) {
    current += one.current;
    total += one.total;
    unpacking = unpacking || one.unpacking;
  }
  const std::string begin = "pulling " + image_;
  if (total == 0) return begin;
  if (current >= total && unpacking) return begin + ": unpacking";
  return begin + ": " + std::to_string(current / mebibyte) + " of " +
         std::to_string((total + mebibyte - 1) / mebibyte) + " MiB";
}

}  // namespace rouse::docker
