#pragma once
// One client of librdkafka at work in a group, from its making to its close: what the poll thread of a `consumer` does
// and knows. For consumer.cpp and session*.cpp only; the poll thread's, but for what the reader's thread asks of the
// client.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/events/kafka/consumer.hpp"
#include "gateway/events/kafka/handles.hpp"
#include "gateway/events/kafka/start_offsets.hpp"

namespace rouse::gateway::events {

class consumer::session {
 public:
  using steady = std::chrono::steady_clock;

  explicit session(consumer& of) : owner_(of) {}
  ~session();
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  /// Makes the client and subscribes; the problem in words, or nothing.
  [[nodiscard]] std::string open();
  /// Polls until the consumer is stopped, then commits and leaves.
  void work();

 private:
  struct lane {
    lane(std::uint32_t id_in, std::shared_ptr<const lane_name> name_in, offset_ledger ledger_in)
        : id(id_in), name(std::move(name_in)), ledger(std::move(ledger_in)) {}
    std::uint32_t id;
    std::shared_ptr<const lane_name> name;
    offset_ledger ledger;
    std::int64_t end = 0;         ///< after the last record there is, as far as is known
    bool at_end = false;          ///< all that there was has been read
    bool held = false;            ///< paused: too much beyond its gap
    bool resetting = false;       ///< its offset is out of range
    std::int64_t committed = -1;  ///< by this session, with:
    std::string committed_metadata;
    std::optional<std::uint64_t> seen;  ///< ledger.changes() that were looked at for a commit; nothing: none yet
    std::size_t room = offset_ledger::most_metadata;
  };
  struct sent_commit {
    std::uint32_t lane = 0;
    std::int64_t offset = 0;
    std::string metadata;
    std::uint64_t changes = 0;
  };
  /// How far a taking back has come.
  struct giving_back {
    steady::time_point deadline;
    std::optional<steady::time_point> commit_until;  ///< the last commit was sent, and may take until then
  };

  // session.cpp: the loop
  void serve_group();
  bool read_records();
  void take_message(const rd_kafka_message_t& message);
  void take_error(const rd_kafka_message_t& message);
  void hand_over();
  void count_ahead();
  void take_operations();
  void do_tasks();
  void hold(lane& which);
  void let_go(lane& which);
  bool is_stopping() const;
  void wait();
  void drain_wake() const;
  void look_around(steady::time_point now);
  void ask_extents(steady::time_point now);
  void publish();
  void report(std::string problem, bool of_group);
  lane* find(const rd_kafka_message_t& message);
  lane* find(std::uint32_t id);
  lane* find(std::string_view topic, std::int32_t partition);
  void post_back(std::function<void(session&)> task);

  // session_group.cpp: what the group gives and takes
  static void on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list,
                           void* self);
  static void on_commit(rd_kafka_t* client, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* list,
                        void* self);
  static void on_error(rd_kafka_t* client, int error, const char* reason, void* self);
  static void on_log(const rd_kafka_t* client, int level, const char* facility, const char* text);
  void begin_look_up(const rd_kafka_topic_partition_list_t* list);
  void look_up(partition_list list, std::uint64_t round);
  void assign(const std::vector<partition_start>& starts);
  void assign_lanes();
  void begin_giving_back(bool lost);
  void step_giving_back(steady::time_point now);
  void unassign();
  void reset(lane& which);
  void set_right(std::uint32_t id, const partition_extent& extent);
  bool commit();
  void committed(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* list);
  void take_partition_error(lane& which, rd_kafka_resp_err_t error);
  void close();
  bool serve_until_committed(steady::time_point deadline);
  void destroy(bool closed);

  consumer& owner_;
  rd_kafka_t* client_ = nullptr;
  queue_ptr group_queue_;
  queue_ptr records_queue_;
  std::vector<std::unique_ptr<lane>> lanes_;
  std::uint32_t next_lane_ = 1;
  std::uint64_t round_ = 0;  ///< of assignments: answers to questions of an earlier one mean nothing
  const rd_kafka_topic_t* last_topic_ = nullptr;
  std::int32_t last_partition_ = -1;
  lane* last_lane_ = nullptr;
  std::vector<arrived_record> fresh_;
  std::size_t fresh_bytes_ = 0;
  std::optional<giving_back> giving_back_;
  bool closing_ = false;
  std::vector<sent_commit> sent_;  ///< of the commit that is on its way
  std::optional<steady::time_point> commit_sent_at_;
  steady::time_point commit_next_{};
  steady::time_point look_next_{};
  steady::time_point extents_next_{};
  bool asking_ = false;  ///< the reader's thread has a question of ours
  std::string group_problem_;
  std::string cluster_problem_;
  std::string last_reason_;  ///< why a broker could not be reached, as librdkafka says it
  std::string told_;
  steady::time_point told_at_{};
  steady::time_point commit_told_at_{};
  std::chrono::milliseconds revoke_wait_{0};
};

}  // namespace rouse::gateway::events
