#include "activator/output_ring.hpp"

#include <algorithm>
#include <utility>

namespace rouse::activator {

void output_ring::add(std::string instance, std::string text, std::chrono::system_clock::time_point at) {
  if (text.size() > max_line_bytes) text.resize(max_line_bytes);
  const std::lock_guard lock(mutex_);
  if (!lines_) lines_ = std::make_unique<std::deque<line>>();
  bytes_ += instance.size() + text.size();
  lines_->push_back({++last_, at, std::move(instance), std::move(text)});
  while (lines_->size() > max_lines || (bytes_ > max_bytes && lines_->size() > 1)) {
    bytes_ -= lines_->front().instance.size() + lines_->front().text.size();
    lines_->pop_front();
  }
}

std::vector<output_ring::line> output_ring::since(std::uint64_t after, std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  if (!lines_ || after >= last_) return {};
  const auto wanted = std::min<std::uint64_t>({last_ - after, lines_->size(), limit});
  return {lines_->end() - static_cast<std::ptrdiff_t>(wanted), lines_->end()};
}

}  // namespace rouse::activator
