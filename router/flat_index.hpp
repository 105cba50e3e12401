#pragma once
// The pieces under the route table: a hash index from a hash the caller computed to the number of a record the caller
// keeps, and short texts kept inside those records. Filled once, then read by every worker. What a look-up among ten
// thousand costs is the cache lines it touches, so both are made to touch one: a slot is 8 bytes, a record one line.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rouse::router {

/// FNV-1a, byte by byte: the hash of every prefix comes for free on the way to the whole. Finish with hash_finish().
inline constexpr std::uint64_t hash_start = 0xcbf29ce484222325;
constexpr std::uint64_t hash_byte(std::uint64_t hash, char byte) {
  return (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
}
constexpr std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = hash_start;
  for (const char c : text) hash = hash_byte(hash, c);
  return hash;
}

/// Spreads what `hash` differs in over all bits (the finaliser of MurmurHash3). `salt` tells apart equal texts.
constexpr std::uint32_t hash_finish(std::uint64_t hash, std::uint64_t salt = 0) {
  hash ^= salt * 0x9e3779b97f4a7c15;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return static_cast<std::uint32_t>(hash ^ (hash >> 33));
}

/// Open addressing with linear probing, at most three quarters full. Who looks something up cannot make a chain longer:
/// only the config's own keys are ever inserted.
class flat_index {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;

  /// Adds a record; the caller has made sure that its key is not there yet.
  void insert(std::uint32_t hash, std::uint32_t record) {
    if (4 * (count_ + 1) > 3 * slots_.size()) grow();
    place({hash, record});
    ++count_;
  }

  /// The record with this hash for which `same(record)` holds, or none.
  template <class Same>
  [[nodiscard]] std::uint32_t find(std::uint32_t hash, Same same) const {
    if (slots_.empty()) return none;
    for (std::size_t at = hash & mask();; at = (at + 1) & mask()) {
      const slot& s = slots_[at];
      if (s.record == none || (s.hash == hash && same(s.record))) return s.record;
    }
  }

 private:
  struct slot {
    std::uint32_t hash = 0;
    std::uint32_t record = none;
  };

  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }

  void place(slot added) {
    std::size_t at = added.hash & mask();
    while (slots_[at].record != none) at = (at + 1) & mask();
    slots_[at] = added;
  }

  void grow() {
    std::vector<slot> old = std::exchange(slots_, std::vector<slot>(slots_.empty() ? 16 : 2 * slots_.size()));
    for (const slot& s : old) {
      if (s.record != none) place(s);
    }
  }

  std::vector<slot> slots_;
  std::size_t count_ = 0;
};

/// A text of up to Size bytes in place; of a longer one, where it begins in a text_store.
template <std::size_t Size>
struct packed_text {
  std::uint32_t length = 0;
  std::array<char, Size> bytes{};
};

/// Holds the long texts of many packed_text.
class text_store {
 public:
  template <std::size_t Size>
  void pack(packed_text<Size>& packed, std::string_view text) {
    packed.length = static_cast<std::uint32_t>(text.size());
    if (text.size() <= Size) {
      std::copy(text.begin(), text.end(), packed.bytes.begin());
    } else {
      const std::size_t begin = long_texts_.size();
      static_assert(Size >= sizeof begin);
      std::memcpy(packed.bytes.data(), &begin, sizeof begin);
      long_texts_ += text;
    }
  }

  template <std::size_t Size>
  [[nodiscard]] std::string_view view(const packed_text<Size>& packed) const {
    if (packed.length <= Size) return {packed.bytes.data(), packed.length};
    std::size_t begin = 0;
    std::memcpy(&begin, packed.bytes.data(), sizeof begin);
    return std::string_view(long_texts_).substr(begin, packed.length);
  }

 private:
  std::string long_texts_;
};

}  // namespace rouse::router
