#pragma once
// Who works a namespace, by a coordination.k8s.io Lease, as leader election does everywhere: whoever is written there
// and renews it. Pure: says what to do next and is told how that went. Whether another's time is up is judged by when
// its record was last seen to change, never by the clocks of others.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace rouse::kubernetes {

struct lease_record {
  std::string holder;
  int seconds = 0;       ///< leaseDurationSeconds
  std::string acquired;  ///< acquireTime, as it is
  std::string renewed;   ///< renewTime, as it is
  int transitions = 0;
  std::string version;  ///< resourceVersion
  friend bool operator==(const lease_record&, const lease_record&) = default;
};

class lease_book {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using wall = std::chrono::system_clock::time_point;
  static constexpr std::chrono::seconds duration{15};
  static constexpr std::chrono::seconds renew_every{5};
  static constexpr std::chrono::seconds look_every{2};
  /// So long after the last renewal was sent this one still acts as holder; before others may think otherwise.
  static constexpr std::chrono::seconds trusted_for{10};

  explicit lease_book(std::string identity) : identity_(std::move(identity)) {}

  enum class step { wait, read, create, update };
  struct next {
    step what = step::wait;
    lease_record record;  ///< for create and update
    time_point at{};      ///< wait: until then
  };
  /// What to do now. After anything but wait one of the calls below follows before next_step() is asked again.
  [[nodiscard]] next next_step(time_point now, wall clock) const;

  /// It was read; nothing: there is none.
  void read(std::optional<lease_record> record, time_point now);
  /// It was created or updated by a request sent at `sent`; `version` is what it has now.
  void wrote(lease_record record, std::string version, time_point sent);
  /// Somebody else was quicker.
  void conflicted() { stale_ = true; }
  /// No answer, or a bad one: again later.
  void failed(time_point now, std::chrono::milliseconds pause) {
    not_before_ = now + pause;
    stale_ = true;
  }

  /// Whether this one may write to the namespace.
  [[nodiscard]] bool holds(time_point now) const { return held_ && now < renewed_ + trusted_for; }
  /// Another one holds it, as far as is known.
  [[nodiscard]] bool is_others() const { return known_ && known_->holder != identity_ && !known_->holder.empty(); }
  [[nodiscard]] std::string holder() const { return known_ ? known_->holder : std::string(); }
  [[nodiscard]] const std::string& identity() const noexcept { return identity_; }
  /// What to write when it is given back; nothing: it is not held.
  [[nodiscard]] std::optional<lease_record> release(wall clock) const;

 private:
  [[nodiscard]] bool has_lapsed(time_point now) const;

  std::string identity_;
  std::optional<lease_record> known_;
  time_point changed_{};  ///< when known_ was seen to change
  time_point looked_{};
  time_point renewed_{};  ///< when the last renewal was sent
  time_point not_before_{};
  bool read_ = false;  ///< at least once
  bool held_ = false;
  bool stale_ = true;  ///< known_ may not be what stands there
};

[[nodiscard]] std::optional<lease_record> parse_lease(std::string_view text);
[[nodiscard]] std::string write_lease(const lease_record& record, const std::string& name,
                                      const std::string& name_space);
/// RFC 3339 with microseconds.
[[nodiscard]] std::string micro_time(std::chrono::system_clock::time_point at);

}  // namespace rouse::kubernetes
