#pragma once
// What became of the records of one partition: which were handed out, which are finished, which wait for their next
// try; and from that what a consumer group is to commit: the offset of the first unfinished record, with a text beside
// it that tells what is finished beyond that one and what was tried (field-notes: a commit has room for 4096 bytes).
// The next reader of the partition, after a restart or a rebalance, begins with both. Pure; one thread.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rouse::gateway::events {

/// Failed tries of one record.
struct record_tries {
  unsigned count = 0;
  std::chrono::sys_time<std::chrono::milliseconds> first_failed{};
  std::chrono::sys_time<std::chrono::milliseconds> next_try{};  ///< as text it is kept to the second, later ones
  friend bool operator==(const record_tries&, const record_tries&) = default;
};

/// Offsets come in rising order and may leave out some (compaction, transactions): what lies between two that came is
/// nothing, and counts as finished.
class offset_ledger {
 public:
  using time = std::chrono::sys_time<std::chrono::milliseconds>;

  /// Bytes of metadata that a broker takes unless it was told otherwise.
  static constexpr std::size_t most_metadata = 4096;

  /// `committed`: where to read on. `metadata`: what was committed with it; that of another program, of another offset
  /// or of a later version says nothing.
  explicit offset_ledger(std::int64_t committed, std::string_view metadata = {});

  enum class finding : std::uint8_t {
    fresh,     ///< to be handed out
    finished,  ///< by an earlier reader, beyond its gap
    seen,      ///< it came before
  };
  struct arrival {
    finding what = finding::fresh;
    record_tries tries;  ///< by an earlier reader; count 0: none
  };
  /// A record was read.
  [[nodiscard]] arrival add(std::int64_t offset, time written);
  /// There is nothing between what was read last and `offset`, which is not looked at.
  void nothing_until(std::int64_t offset);
  /// False: it is not one that is unfinished.
  bool finish(std::int64_t offset);
  bool retry(std::int64_t offset, const record_tries& tries);

  /// All before it are finished: the first unfinished one, or the next to be read.
  [[nodiscard]] std::int64_t committable() const;
  /// The next offset to read.
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  /// Records that came after the first unfinished one, finished or not.
  [[nodiscard]] std::size_t beyond() const noexcept { return beyond_; }
  [[nodiscard]] std::size_t unfinished() const noexcept { return open_.size(); }
  /// When the first unfinished record was written.
  [[nodiscard]] std::optional<time> oldest() const;
  /// Grows with whatever changes committable() or metadata().
  [[nodiscard]] std::uint64_t changes() const noexcept { return changes_; }

  /// For the commit of committable(). At most `room` bytes: what does not fit is left out, the furthest first, and is
  /// delivered, or begins its tries, again if it comes to that.
  [[nodiscard]] std::string metadata(std::size_t room = most_metadata) const;

  /// How many partitions the topic had when the group began (travels in the metadata); 0: not known.
  [[nodiscard]] std::uint32_t partitions_known() const noexcept { return partitions_known_; }
  void set_partitions_known(std::uint32_t count);

 private:
  struct open_record {
    time written{};
    std::uint32_t finished_after = 0;  ///< records between this and the next unfinished one
  };
  struct range {
    std::int64_t first = 0;
    std::int64_t last = 0;
  };
  class writer;
  void write_ranges(writer& to) const;
  void restore(std::string_view metadata);

  std::int64_t next_;
  std::map<std::int64_t, open_record> open_;    ///< unfinished, below next_
  std::map<std::int64_t, record_tries> tries_;  ///< of unfinished ones, and of some that are still to come
  std::vector<range> finished_ahead_;           ///< by an earlier reader, still to come; the last one first
  std::size_t beyond_ = 0;
  std::uint64_t changes_ = 0;
  std::uint32_t partitions_known_ = 0;
};

}  // namespace rouse::gateway::events
