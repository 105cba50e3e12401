#include <algorithm>
#include <cstring>
#include <future>
#include <thread>

#include "gateway/events/kafka/session.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr auto ask_timeout = 2s;
constexpr auto ask_again = 1s;
constexpr auto last_commit_wait = 5s;
constexpr auto told_again = 60s;
constexpr auto destroy_wait = 5s;

}  // namespace

// --- callbacks of librdkafka, all from within a poll
// -----------------------------------------------------------------------

void consumer::session::on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t what,
                                     rd_kafka_topic_partition_list_t* list, void* self) {
  auto& session = *static_cast<consumer::session*>(self);
  if (session.closing_) {
    // What there was to commit is committed.
    session.lanes_.clear();
    session.last_topic_ = nullptr;
    rd_kafka_assign(client, nullptr);
    return;
  }
  if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) return session.begin_look_up(list);
  session.begin_giving_back(what != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS || rd_kafka_assignment_lost(client) != 0);
}

void consumer::session::on_commit(rd_kafka_t* /*client*/, rd_kafka_resp_err_t error,
                                  rd_kafka_topic_partition_list_t* list, void* self) {
  static_cast<session*>(self)->committed(error, list);
}

void consumer::session::on_error(rd_kafka_t* /*client*/, int error, const char* reason, void* self) {
  auto& session = *static_cast<consumer::session*>(self);
  const auto code = static_cast<rd_kafka_resp_err_t>(error);
  switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
      session.last_reason_ = reason;  // one broker of several may be away
      return;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
      return session.report(words_of(code, {}, session.last_reason_), false);
    default:
      session.report(words_of(code, {}, reason), false);
  }
}

void consumer::session::on_log(const rd_kafka_t* client, int /*level*/, const char* facility, const char* text) {
  const auto* const self = static_cast<const session*>(rd_kafka_opaque(client));
  self->owner_.log_.debug("trigger {}: librdkafka: {}: {}", self->owner_.settings_.trigger, facility, text);
}

// --- partitions come
// -----------------------------------------------------------------------------------------------------

void consumer::session::begin_look_up(const rd_kafka_topic_partition_list_t* list) {
  ++round_;
  look_up(partition_list(rd_kafka_topic_partition_list_copy(list)), round_);
}

void consumer::session::look_up(partition_list list, std::uint64_t round) {
  const std::shared_ptr<rd_kafka_topic_partition_list_t> shared(std::move(list));
  owner_.reader_.post([this, client = client_, shared, round] {
    const auto& settings = owner_.settings_;
    const partition_list copy(rd_kafka_topic_partition_list_copy(shared.get()));
    auto answer = look_up_starts(client, copy, settings, ask_timeout);
    if (!answer.problem.empty()) owner_.reader_.pause(ask_again);
    post_back([shared, round, answer = std::move(answer)](session& self) {
      if (round != self.round_) return;
      if (answer.problem.empty()) return self.assign(answer.all);
      self.report(answer.problem, true);
      self.look_up(partition_list(rd_kafka_topic_partition_list_copy(shared.get())), round);
    });
  });
}

void consumer::session::assign(const std::vector<partition_start>& starts) {
  for (const auto& start : starts) {
    auto name = std::make_shared<lane_name>();
    name->topic = start.topic;
    name->partition = start.partition;
    name->text = start.topic + "/" + std::to_string(start.partition);
    offset_ledger ledger(start.offset, start.metadata);
    if (!start.committed) ledger.set_partitions_known(start.partitions_known);
    lanes_.push_back(std::make_unique<lane>(next_lane_++, std::move(name), std::move(ledger)));
    auto& added = *lanes_.back();
    added.end = start.end;
    if (start.committed) {
      added.committed = start.offset;
      added.committed_metadata = start.metadata;
    }
  }
  assign_lanes();
  report({}, true);
  // Where a group that is new begins is committed before all else, or a crash now would move it.
  commit_next_ = look_next_ = {};
  owner_.log_.info("trigger {}: reads {} partitions as a member of group {}", owner_.settings_.trigger, lanes_.size(),
                   owner_.settings_.group);
}

/// All that there are, from where each was read to.
void consumer::session::assign_lanes() {
  last_topic_ = nullptr;
  auto list = new_partitions(lanes_.size());
  for (const auto& one : lanes_) {
    add(list, one->name->topic, one->name->partition, one->ledger.next());
    one->queue.reset(rd_kafka_queue_get_partition(client_, one->name->topic.c_str(), one->name->partition));
    one->held = false;  // an assignment undoes a pause
  }
  forward_lanes();
  if (const auto failed = rd_kafka_assign(client_, list.get())) report(words_of(failed, {}, {}), false);
  for (const auto& one : lanes_) {
    if (one->ledger.beyond() >= owner_.limits_.most_beyond) hold(*one);
  }
}

/// Partitions tell their records to a queue of ours rather than to that of the group. Said before they are assigned,
/// and now and then again: librdkafka forgets it when it stops a partition, which is some time after it was told to.
void consumer::session::forward_lanes() {
  for (const auto& one : lanes_) {
    if (one->queue) rd_kafka_queue_forward(one->queue.get(), records_queue_.get());
  }
}

/// What is to be read next is not there: retention was faster, or the topic is another one by now.
void consumer::session::reset(lane& which) {
  if (std::exchange(which.resetting, true)) return;
  auto list = new_partitions();
  add(list, which.name->topic, which.name->partition);
  const std::shared_ptr<rd_kafka_topic_partition_list_t> shared(std::move(list));
  owner_.reader_.post([this, client = client_, shared, id = which.id, round = round_] {
    const partition_list copy(rd_kafka_topic_partition_list_copy(shared.get()));
    auto answer = look_up_extents(client, copy, ask_timeout);
    if (!answer.problem.empty()) owner_.reader_.pause(ask_again);
    post_back([id, round, answer = std::move(answer)](session& self) {
      auto* const of = self.find(id);
      if (round != self.round_ || !of || self.giving_back_) return;
      of->resetting = false;
      if (!answer.problem.empty()) {
        self.report(answer.problem, false);
        return self.reset(*of);
      }
      self.set_right(id, answer.all.front());
    });
  });
}

void consumer::session::set_right(std::uint32_t id, const partition_extent& extent) {
  const auto at = std::ranges::find(lanes_, id, [](const auto& one) { return one->id; });
  auto& which = **at;
  const auto next = which.ledger.next();
  if (next < extent.first) {
    owner_.log_.error(
        "trigger {}: records of {} are lost: the topic's retention dropped offsets {} to {} before they were "
        "delivered; "
        "it goes on at {}",
        owner_.settings_.trigger, which.name->text, next, extent.first - 1, extent.first);
    which.ledger.nothing_until(extent.first);
    which.end = std::max(which.end, extent.end);
  } else if (next > extent.end) {
    owner_.log_.error(
        "trigger {}: {} ends at offset {}, before {}, where the group {} had come to: the topic was made anew, or lost "
        "its end; it begins at {}",
        owner_.settings_.trigger, which.name->text, extent.end, next, owner_.settings_.group, extent.first);
    // The same offsets are other records: nothing that is known of the old ones holds.
    auto fresh = std::make_unique<lane>(next_lane_++, which.name, offset_ledger(extent.first));
    fresh->end = extent.end;
    lanes_.erase(at);
    lanes_.push_back(std::move(fresh));
    commit_next_ = {};
  }
  assign_lanes();
}

// --- partitions go
// -------------------------------------------------------------------------------------------------------

/// What was not taken yet is dropped at once; what is in flight is waited for while the polling goes on. Partitions
/// that are lost (the group thinks this member dead) belong to others already: nothing can be committed for them.
void consumer::session::begin_giving_back(bool lost) {
  ++round_;
  if (lanes_.empty()) {
    rd_kafka_assign(client_, nullptr);
    return;
  }
  fresh_.clear();
  fresh_bytes_ = 0;
  {
    const std::lock_guard lock(owner_.mutex_);
    if (!giving_back_) {
      owner_.buffer_.clear();
      owner_.buffered_bytes_ = 0;
      owner_.buffered_.store(0, std::memory_order_relaxed);
      owner_.stalled_ = false;
      owner_.wanted_ = true;
      owner_.urgent_ = true;
      owner_.given_back_ = !owner_.tell_.taken_back;
      if (owner_.tell_.taken_back) owner_.tell_.taken_back();
    }
  }
  if (!giving_back_) giving_back_.emplace().deadline = steady::now() + revoke_wait_;
  if (!lost) return;
  owner_.log_.warn(
      "trigger {}: group {} took its partitions away, for it was not heard in time: what is in flight may be delivered "
      "again",
      owner_.settings_.trigger, owner_.settings_.group);
  unassign();
}

void consumer::session::step_giving_back(steady::time_point now) {
  bool done = false;
  {
    const std::lock_guard lock(owner_.mutex_);
    done = owner_.given_back_;
  }
  take_operations();
  if (!done && now < giving_back_->deadline) return;
  if (!giving_back_->commit_until) {
    if (commit_sent_at_ && now < *commit_sent_at_ + last_commit_wait) return;
    if (!done)
      owner_.log_.warn(
          "trigger {}: partitions of group {} go to another member, and what is in flight is not over after {} s: it "
          "may be delivered twice",
          owner_.settings_.trigger, owner_.settings_.group,
          std::chrono::duration_cast<std::chrono::seconds>(revoke_wait_).count());
    giving_back_->commit_until = now + last_commit_wait;
    commit_sent_at_.reset();
    commit();
  }
  if (commit_sent_at_ && now < *giving_back_->commit_until) return;
  unassign();
}

void consumer::session::unassign() {
  rd_kafka_assign(client_, nullptr);
  lanes_.clear();
  last_topic_ = nullptr;
  giving_back_.reset();
  owner_.ahead_.store(0, std::memory_order_relaxed);
  const std::lock_guard lock(owner_.mutex_);
  owner_.urgent_ = false;
  look_next_ = {};
}

// --- commits
// -------------------------------------------------------------------------------------------------------------

/// False: there was nothing to commit, or it could not be sent.
bool consumer::session::commit() {
  auto list = new_partitions(lanes_.size());
  sent_.clear();
  for (const auto& one : lanes_) {
    if (one->seen == one->ledger.changes()) continue;
    sent_commit sent;
    sent.lane = one->id;
    sent.offset = one->ledger.committable();
    sent.metadata = one->ledger.metadata(one->room);
    one->seen = one->ledger.changes();
    if (sent.offset == one->committed && sent.metadata == one->committed_metadata) continue;
    auto& to = add(list, one->name->topic, one->name->partition, sent.offset);
    if (!sent.metadata.empty()) {
      to.metadata = std::malloc(sent.metadata.size());  // the list frees it
      std::memcpy(to.metadata, sent.metadata.data(), sent.metadata.size());
      to.metadata_size = sent.metadata.size();
    }
    sent_.push_back(std::move(sent));
  }
  if (sent_.empty()) return false;
  commit_sent_at_ = steady::now();
  const auto failed = rd_kafka_commit(client_, list.get(), 1);
  if (!failed) return true;
  committed(failed, nullptr);
  return false;
}

void consumer::session::committed(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* list) {
  if (!commit_sent_at_) return;
  commit_sent_at_.reset();
  if (error)
    owner_.log_.debug("trigger {}: a commit of group {} failed: {}", owner_.settings_.trigger, owner_.settings_.group,
                      rd_kafka_err2name(error));
  for (auto& sent : sent_) {
    auto* const of = find(sent.lane);
    if (!of) continue;
    auto failed = error;
    if (list) {
      const auto* const one = rd_kafka_topic_partition_list_find(const_cast<rd_kafka_topic_partition_list_t*>(list),
                                                                 of->name->topic.c_str(), of->name->partition);
      if (one && one->err) failed = one->err;
      if (!one || one->offset != sent.offset) {  // the answer to an earlier one, which was given up on
        of->seen.reset();
        continue;
      }
    }
    if (failed) {
      of->seen.reset();
      take_partition_error(*of, failed);
      continue;
    }
    of->committed = sent.offset;
    of->committed_metadata = std::move(sent.metadata);
  }
  sent_.clear();
}

void consumer::session::take_partition_error(lane& which, rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
      which.room /= 2;  // this cluster takes less than others
      return;
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
      return;  // the group tells what is to be done
    default:
      break;
  }
  const auto now = steady::now();
  if (now - commit_told_at_ < told_again) return;
  commit_told_at_ = now;
  owner_.log_.warn("trigger {}: where it stands in {} could not be committed, and is tried again: {}",
                   owner_.settings_.trigger, which.name->text, words_of(error, owner_.settings_.group, {}));
}

// --- the end
// -------------------------------------------------------------------------------------------------------------

/// True: all that there was to commit is committed.
bool consumer::session::serve_until_committed(steady::time_point deadline) {
  while (commit_sent_at_ && steady::now() < deadline) {
    wait();
    drain_wake();
    serve_group();
  }
  return !commit_sent_at_;
}

void consumer::session::close() {
  closing_ = true;
  const auto began = steady::now();
  const auto deadline = began + owner_.limits_.close_wait;
  const auto commit_deadline = began + owner_.limits_.close_wait / 2;
  take_operations();
  bool whole = serve_until_committed(commit_deadline);
  for (int i = 0; i < 3 && whole && commit(); ++i) whole = serve_until_committed(commit_deadline);
  whole = whole && std::ranges::all_of(lanes_, [](const auto& one) { return one->seen == one->ledger.changes(); });
  if (!whole)
    owner_.log_.warn(
        "trigger {}: the cluster did not take the last commit of group {} in time: some events may be delivered again",
        owner_.settings_.trigger, owner_.settings_.group);
  rd_kafka_queue_io_event_enable(group_queue_.get(), -1, nullptr, 0);
  rd_kafka_queue_io_event_enable(records_queue_.get(), -1, nullptr, 0);
  group_queue_.reset();
  bool closed = false;
  {
    const queue_ptr last(rd_kafka_queue_new(client_));
    auto* const failed = rd_kafka_consumer_close_queue(client_, last.get());
    if (failed) rd_kafka_error_destroy(failed);
    while (!failed && !(closed = rd_kafka_consumer_closed(client_) != 0) && steady::now() < deadline)
      rd_kafka_queue_poll_callback(last.get(), 50);
  }
  if (!closed)
    owner_.log_.warn("trigger {}: group {} could not be left in time; it notices by itself", owner_.settings_.trigger,
                     owner_.settings_.group);
  owner_.reader_.stop();
  owner_.numbers_->set_lanes({});
  destroy(closed);
}

/// librdkafka waits here for threads of its own, with no bound; the daemon does not wait for it for ever.
void consumer::session::destroy(bool closed) {
  lanes_.clear();
  group_queue_.reset();
  records_queue_.reset();
  std::promise<void> ended;
  auto end = ended.get_future();
  std::thread([client = client_, closed, ended = std::move(ended)]() mutable {
    rd_kafka_destroy_flags(client, closed ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    ended.set_value();
  }).detach();
  client_ = nullptr;
  if (end.wait_for(destroy_wait) != std::future_status::ready)
    owner_.log_.error("trigger {}: the client of group {} does not end; it is left behind", owner_.settings_.trigger,
                      owner_.settings_.group);
}

}  // namespace rouse::gateway::events
