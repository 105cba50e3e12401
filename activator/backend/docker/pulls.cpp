#include "activator/backend/docker/pulls.hpp"

#include <utility>

namespace rouse::docker {
namespace {

/// Unpacking a large layer is silent for long; a registry that hangs is so for good.
constexpr auto longest_silence = std::chrono::minutes(3);
constexpr std::size_t most_refusal = 4096;

}  // namespace

void pulls::want(const std::string& image, std::uint64_t id) {
  auto& known = all_[image];
  const bool fresh = !known;
  if (fresh) known = std::make_unique<one>(image);
  known->waiting.push_back(id);
  if (fresh) begin(image);
}

void pulls::begin(const std::string& image) {
  one& made = *all_.at(image);
  backend_http::stream_handlers handlers;
  handlers.on_head = [&made](int status, const backend_http::header_list&) { made.status = status; };
  handlers.on_data = [this, image](std::string_view bytes) { on_data(image, bytes); };
  handlers.on_end = [this, image](const backend_http::failure& why) { on_end(image, why); };
  made.call = docker_.stream("POST", "/images/create?" + pull_query(image), longest_silence, std::move(handlers));
}

void pulls::on_data(const std::string& image, std::string_view bytes) {
  one& known = *all_.at(image);
  if (known.status != 200) {
    known.refusal.append(bytes.substr(0, most_refusal - std::min(most_refusal, known.refusal.size())));
    return;
  }
  known.lines.push(bytes, [&](std::string_view line) { known.progress.hear(line); });
  const auto text = known.progress.news(pull_progress::clock::now());
  if (!text) return;
  for (const auto id : known.waiting) listener_.on_pull_progress(id, *text);
}

void pulls::on_end(const std::string& image, const backend_http::failure& why) {
  const auto known = std::move(all_.at(image));
  all_.erase(image);
  std::string problem = known->progress.error();
  if (problem.empty() && known->status != 200 && !why) problem = message_of(known->refusal);
  const bool away = problem.empty() && why;
  if (away) problem = why.problem;
  // A disk that is full is not the image's fault.
  std::string word;
  if (!problem.empty()) word = failure_word(problem) == "no-capacity" ? "no-capacity" : "image";
  for (const auto id : known->waiting) listener_.on_pull_ended(id, word, problem, away);
}

}  // namespace rouse::docker
