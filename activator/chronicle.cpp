#include "activator/chronicle.hpp"

#include <algorithm>
#include <utility>

namespace rouse::activator {

void chronicle::add(occurrence what, std::chrono::system_clock::time_point at) {
  if (what.text.size() > max_text_bytes) what.text.resize(max_text_bytes);
  const auto size = what.text.size();
  auto made = std::make_shared<entry>(entry{0, at, std::move(what)});
  const std::lock_guard lock(mutex_);
  made->number = ++last_;
  bytes_ += size;
  entries_.push_back(std::move(made));
  while (entries_.size() > max_entries || (bytes_ > max_bytes && entries_.size() > 1)) {
    bytes_ -= entries_.front()->what.text.size();
    entries_.pop_front();
  }
}

std::vector<std::shared_ptr<const chronicle::entry>> chronicle::since(std::uint64_t after) const {
  const std::lock_guard lock(mutex_);
  if (after >= last_) return {};
  const auto wanted = std::min<std::uint64_t>(last_ - after, entries_.size());
  return {entries_.end() - static_cast<std::ptrdiff_t>(wanted), entries_.end()};
}

std::uint64_t chronicle::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

}  // namespace rouse::activator
