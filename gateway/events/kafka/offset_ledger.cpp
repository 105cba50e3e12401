#include "gateway/events/kafka/offset_ledger.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

namespace rouse::gateway::events {

// The text: "rouse1." and base64url of
//   2 bytes   check sum over the committed offset and what follows
//   varint    partitions known
//   varint    a time in seconds, to which the times of retries are relative
//   items     varint (distance << 1 | kind), the distance counted from the end of the item before, or the offset
//     kind 0  a finished range: varint length - 1
//     kind 1  an unfinished record that was tried: varints count, first failure - time, next try - first failure
namespace {

constexpr std::string_view mark = "rouse1.";
constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t sum_bytes = 2;
constexpr std::uint64_t most_count = 1'000'000'000;

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string to_text(std::string_view bytes) {
  std::string out(mark);
  std::uint32_t bits = 0;
  unsigned have = 0;
  for (const char c : bytes) {
    bits = bits << 8U | static_cast<unsigned char>(c);
    have += 8;
    while (have >= 6) {
      have -= 6;
      out.push_back(letters[bits >> have & 63U]);
    }
    bits &= (1U << have) - 1;
  }
  if (have > 0) out.push_back(letters[bits << (6 - have) & 63U]);
  return out;
}

std::optional<std::string> to_bytes(std::string_view text) {
  if (!text.starts_with(mark)) return std::nullopt;
  text.remove_prefix(mark.size());
  std::string out;
  std::uint32_t bits = 0;
  unsigned have = 0;
  for (const char c : text) {
    const auto at = letters.find(c);
    if (at == std::string_view::npos) return std::nullopt;
    bits = bits << 6U | static_cast<std::uint32_t>(at);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<char>(bits >> have & 0xFFU));
      bits &= (1U << have) - 1;
    }
  }
  return out;
}

/// FNV-1a (Fowler, Noll, Vo), folded to 16 bits: tells a text of ours from one that was damaged or copied elsewhere.
std::uint16_t sum_of(std::int64_t committed, std::string_view bytes) {
  std::uint32_t hash = 2166136261U;
  const auto add = [&](unsigned char byte) { hash = (hash ^ byte) * 16777619U; };
  for (unsigned shift = 0; shift < 64; shift += 8) {
    add(static_cast<unsigned char>(static_cast<std::uint64_t>(committed) >> shift));
  }
  for (const char c : bytes) add(static_cast<unsigned char>(c));
  return static_cast<std::uint16_t>(hash >> 16U ^ hash);
}

void put(std::string& to, std::uint64_t value) {
  while (value >= 0x80) {
    to.push_back(static_cast<char>(value | 0x80U));
    value >>= 7U;
  }
  to.push_back(static_cast<char>(value));
}

std::optional<std::uint64_t> get(std::string_view& from) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 63 && !from.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::int64_t whole_seconds(offset_ledger::time at) {
  return std::max<std::int64_t>(0, std::chrono::floor<seconds>(at.time_since_epoch()).count());
}

}  // namespace

/// Puts items into the text as long as there is room. The check sum comes last, so the bytes are kept until then.
class offset_ledger::writer {
 public:
  writer(std::int64_t committed, std::size_t room)
      : committed_(committed), at_(committed), most_(room <= mark.size() ? 0 : (room - mark.size()) * 3 / 4) {}

  void begin(std::uint32_t partitions_known, std::int64_t base) {
    partitions_known_ = partitions_known > 0;
    put(bytes_, partitions_known);
    put(bytes_, static_cast<std::uint64_t>(base));
    base_ = base;
  }
  /// False from the first item on that does not fit.
  bool finished(std::int64_t first, std::int64_t last) {
    if (pending_ && pending_->last + 1 == first) {
      pending_->last = last;
      return true;
    }
    const bool fits = flush();
    pending_ = range{first, last};
    return fits;
  }
  bool tried(std::int64_t offset, const record_tries& tries) {
    if (!flush()) return false;
    std::string item;
    put(item, static_cast<std::uint64_t>(offset - at_) << 1U | 1U);
    put(item, tries.count);
    const auto first = whole_seconds(tries.first_failed);
    const auto next = std::max(first, std::chrono::ceil<seconds>(tries.next_try.time_since_epoch()).count());
    put(item, static_cast<std::uint64_t>(first - base_));
    put(item, static_cast<std::uint64_t>(next - first));
    return take(item, offset + 1);
  }
  [[nodiscard]] bool full() const noexcept { return full_; }
  [[nodiscard]] std::string text() {
    flush();
    const bool says_nothing = at_ == committed_ && !partitions_known_;
    if (says_nothing || bytes_.size() + sum_bytes > most_) return {};
    const auto sum = sum_of(committed_, bytes_);
    std::string all;
    all.push_back(static_cast<char>(sum >> 8U));
    all.push_back(static_cast<char>(sum & 0xFFU));
    return to_text(all + bytes_);
  }

 private:
  bool flush() {
    if (!pending_) return !full_;
    std::string item;
    put(item, static_cast<std::uint64_t>(pending_->first - at_) << 1U);
    put(item, static_cast<std::uint64_t>(pending_->last - pending_->first));
    const auto end = pending_->last + 1;
    pending_.reset();
    return take(item, end);
  }
  bool take(const std::string& item, std::int64_t end) {
    if (full_ || bytes_.size() + item.size() + sum_bytes > most_) {
      full_ = true;
      return false;
    }
    bytes_ += item;
    at_ = end;
    return true;
  }

  const std::int64_t committed_;
  std::int64_t at_;
  std::int64_t base_ = 0;
  const std::size_t most_;
  std::string bytes_;
  std::optional<range> pending_;  ///< it may grow yet
  bool partitions_known_ = false;
  bool full_ = false;
};

offset_ledger::offset_ledger(std::int64_t committed, std::string_view metadata) : next_(committed) {
  restore(metadata);
}

void offset_ledger::restore(std::string_view metadata) {
  const auto bytes = to_bytes(metadata);
  if (!bytes || bytes->size() < sum_bytes) return;
  std::string_view rest(*bytes);
  const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
  const auto sum = static_cast<std::uint16_t>(byte_at(0) << 8U | byte_at(1));
  rest.remove_prefix(sum_bytes);
  if (sum != sum_of(next_, rest)) return;
  const auto known = get(rest);
  const auto base = get(rest);
  if (!known || !base || *known > most_count) return;
  std::vector<range> ranges;
  std::map<std::int64_t, record_tries> tries;
  constexpr std::uint64_t most_distance = std::uint64_t{1} << 60U;
  auto at = static_cast<std::uint64_t>(next_);
  while (!rest.empty()) {
    const auto head = get(rest);
    const auto size = get(rest);  // of a range, or the count of tries
    if (!head || !size || (*head >> 1U) > most_distance || *size > most_distance) return;
    at += *head >> 1U;
    if (at > most_distance) return;
    if ((*head & 1U) == 0) {
      ranges.push_back({static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + *size)});
      at += *size + 1;
      continue;
    }
    const auto first = get(rest);
    const auto next = get(rest);
    if (!first || !next || *size == 0 || *size > most_count) return;
    record_tries one;
    one.count = static_cast<unsigned>(*size);
    const auto failed = static_cast<std::int64_t>(*base + *first);
    one.first_failed = time(seconds(failed));
    one.next_try = time(seconds(failed + static_cast<std::int64_t>(*next)));
    tries.emplace(static_cast<std::int64_t>(at), one);
    ++at;
  }
  std::ranges::reverse(ranges);
  finished_ahead_ = std::move(ranges);
  tries_ = std::move(tries);
  partitions_known_ = static_cast<std::uint32_t>(*known);
}

offset_ledger::arrival offset_ledger::add(std::int64_t offset, time written) {
  arrival out;
  if (offset < next_) {
    out.what = finding::seen;
    return out;
  }
  nothing_until(offset);
  next_ = offset + 1;
  ++changes_;
  if (!open_.empty()) ++beyond_;
  if (!finished_ahead_.empty() && finished_ahead_.back().first <= offset) {
    out.what = finding::finished;
    if (!open_.empty()) ++open_.rbegin()->second.finished_after;
    return out;
  }
  open_record one;
  one.written = written;
  open_.emplace_hint(open_.end(), offset, one);
  if (const auto at = tries_.find(offset); at != tries_.end()) out.tries = at->second;
  return out;
}

void offset_ledger::nothing_until(std::int64_t offset) {
  if (offset > next_) {
    // Those that are gone cannot come any more.
    tries_.erase(tries_.lower_bound(next_), tries_.lower_bound(offset));
    next_ = offset;
    ++changes_;
  }
  while (!finished_ahead_.empty() && finished_ahead_.back().last < offset) finished_ahead_.pop_back();
}

bool offset_ledger::finish(std::int64_t offset) {
  const auto at = open_.find(offset);
  if (at == open_.end()) return false;
  if (at == open_.begin()) {
    // What was finished after it is beyond no more, and the next unfinished one is the first.
    beyond_ -= at->second.finished_after;
    if (open_.size() > 1) --beyond_;
  } else {
    std::prev(at)->second.finished_after += at->second.finished_after + 1;
  }
  open_.erase(at);
  tries_.erase(offset);
  ++changes_;
  return true;
}

bool offset_ledger::retry(std::int64_t offset, const record_tries& tries) {
  if (!open_.contains(offset)) return false;
  tries_[offset] = tries;
  ++changes_;
  return true;
}

std::int64_t offset_ledger::committable() const {
  return open_.empty() ? next_ : open_.begin()->first;
}

std::optional<offset_ledger::time> offset_ledger::oldest() const {
  if (open_.empty()) return std::nullopt;
  return open_.begin()->second.written;
}

void offset_ledger::set_partitions_known(std::uint32_t count) {
  partitions_known_ = count;
  ++changes_;
}

/// Finished ranges and tried records, by offset, until there is no more room.
void offset_ledger::write_ranges(writer& to) const {
  auto tried = tries_.begin();
  const auto tried_before = [&](std::int64_t end) {
    for (; tried != tries_.end() && tried->first < end; ++tried) {
      if (!to.tried(tried->first, tried->second)) return false;
    }
    return true;
  };
  for (auto at = open_.begin(); at != open_.end() && !to.full(); ++at) {
    if (at->second.finished_after == 0) continue;
    const auto next = std::next(at);
    const auto last = (next == open_.end() ? next_ : next->first) - 1;
    if (!tried_before(at->first + 1) || !to.finished(at->first + 1, last)) return;
  }
  for (auto at = finished_ahead_.rbegin(); at != finished_ahead_.rend(); ++at) {
    const auto first = std::max(at->first, next_);
    if (first > at->last) continue;
    if (!tried_before(first) || !to.finished(first, at->last)) return;
  }
  tried_before(std::numeric_limits<std::int64_t>::max());
}

std::string offset_ledger::metadata(std::size_t room) const {
  std::optional<std::int64_t> base;
  for (const auto& [offset, one] : tries_) {
    const auto first = whole_seconds(one.first_failed);
    base = std::min(base.value_or(first), first);
  }
  writer to(committable(), std::min(room, most_metadata));
  to.begin(partitions_known_, base.value_or(0));
  write_ranges(to);
  return to.text();
}

}  // namespace rouse::gateway::events
