#include "gateway/events/kafka/session.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "gateway/events/kafka/client_settings.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::size_t burst = 256;                // records that are read before the group is looked at again
constexpr std::size_t burst_bytes = 512U << 10U;  // of those
constexpr auto look_every = 500ms;                // at how far partitions reach
constexpr auto ask_every = 5s;                    // the cluster, where nothing is read that would tell
constexpr auto ask_timeout = 2s;
constexpr auto told_again = 60s;
constexpr auto wait_busy = 100;  // milliseconds; what is urgent wakes at once
constexpr auto wait_idle = 500;

milliseconds poll_interval_of(rd_kafka_conf_t* conf) {
  std::array<char, 32> text{};
  std::size_t size = text.size();
  if (rd_kafka_conf_get(conf, "max.poll.interval.ms", text.data(), &size) != RD_KAFKA_CONF_OK) return 300s;
  return milliseconds(std::max(1L, std::strtol(text.data(), nullptr, 10)));
}

offset_ledger::time time_of(const rd_kafka_message_t& message) {
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const auto ms = rd_kafka_message_timestamp(&message, &type);
  if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0)
    return std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
  return offset_ledger::time(milliseconds(ms));
}

}  // namespace

consumer::session::~session() {
  if (client_) destroy(false);
}

std::string consumer::session::open() {
  const auto& settings = owner_.settings_;
  auto conf = make_kafka_conf(settings.cluster, kafka_role::consumer, settings.group);
  if (!conf) return conf.error();
  auto* const raw = conf->get();
  revoke_wait_ = std::min(owner_.limits_.revoke_wait, poll_interval_of(raw) / 2);
  std::array<char, 512> text{};
  rd_kafka_conf_set_opaque(raw, this);
  rd_kafka_conf_set_rebalance_cb(raw, &on_rebalance);
  rd_kafka_conf_set_offset_commit_cb(raw, &on_commit);
  rd_kafka_conf_set_error_cb(raw, &on_error);
  rd_kafka_conf_set_log_cb(raw, &on_log);
  if (rd_kafka_conf_set(raw, "log.queue", "true", text.data(), text.size()) != RD_KAFKA_CONF_OK) return text.data();
  client_ = rd_kafka_new(RD_KAFKA_CONSUMER, raw, text.data(), text.size());
  if (!client_) return text.data();
  (void)conf->release();
  rd_kafka_set_log_queue(client_, nullptr);
  rd_kafka_poll_set_consumer(client_);
  group_queue_.reset(rd_kafka_queue_get_consumer(client_));
  records_queue_.reset(rd_kafka_queue_new(client_));
  const std::uint64_t one = 1;
  rd_kafka_queue_io_event_enable(group_queue_.get(), owner_.wake_fd_, &one, sizeof one);
  rd_kafka_queue_io_event_enable(records_queue_.get(), owner_.wake_fd_, &one, sizeof one);
  auto topics = new_partitions(settings.topics.size());
  for (const auto& topic : settings.topics) add(topics, topic, RD_KAFKA_PARTITION_UA);
  if (const auto failed = rd_kafka_subscribe(client_, topics.get())) return words_of(failed, settings.group, {});
  return {};
}

void consumer::session::work() {
  while (!is_stopping()) {
    drain_wake();
    serve_group();
    take_operations();
    do_tasks();
    const auto now = steady::now();
    if (giving_back_) step_giving_back(now);
    const bool more = read_records();
    look_around(now);
    if (!more) wait();
  }
  close();
}

bool consumer::session::is_stopping() const {
  const std::lock_guard lock(owner_.mutex_);
  return owner_.stopping_;
}

void consumer::session::drain_wake() const {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const auto n = ::read(owner_.wake_fd_, &ignored, sizeof ignored);
}

void consumer::session::wait() {
  const bool busy = giving_back_ || commit_sent_at_ ||
                    std::ranges::any_of(lanes_, [](const auto& one) { return one->ledger.unfinished() > 0; });
  pollfd woken{owner_.wake_fd_, POLLIN, 0};
  ::poll(&woken, 1, busy ? wait_busy : wait_idle);
}

// --- records
// -------------------------------------------------------------------------------------------------------------

/// What concerns the group, and librdkafka's callbacks. Always, and at once: it keeps the membership.
void consumer::session::serve_group() {
  for (;;) {
    const message_ptr message(rd_kafka_consumer_poll(client_, 0));
    if (!message) return;
    take_message(*message);
  }
}

/// True: there are more, and there is room for them.
bool consumer::session::read_records() {
  {
    const std::lock_guard lock(owner_.mutex_);
    if (owner_.stalled_) return false;
  }
  bool more = true;
  for (std::size_t i = 0; i < burst && fresh_bytes_ < burst_bytes; ++i) {
    const message_ptr message(rd_kafka_consume_queue(records_queue_.get(), 0));
    more = message != nullptr;
    if (!more) break;
    take_message(*message);
  }
  hand_over();
  return more;
}

void consumer::session::take_message(const rd_kafka_message_t& message) {
  if (message.err) return take_error(message);
  auto* const to = find(message);
  if (!to || giving_back_) return;
  const auto came = to->ledger.add(message.offset, time_of(message));
  to->at_end = false;
  to->end = std::max(to->end, message.offset + 1);
  if (came.what != offset_ledger::finding::fresh) return;
  auto record = read_message(message);
  arrived_record out;
  out.at = {to->id, message.offset};
  out.lane = to->name;
  out.key = std::move(record.key);
  out.tries = came.tries;
  out.what = std::move(record.what);
  fresh_bytes_ += size_of(out);
  fresh_.push_back(std::move(out));
  if (!to->held && to->ledger.beyond() >= owner_.limits_.most_beyond) hold(*to);
}

void consumer::session::take_error(const rd_kafka_message_t& message) {
  auto* const of = message.rkt ? find(message) : nullptr;
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      // Offsets up to here may hold nothing but the marks of transactions.
      if (!of || giving_back_) return;
      of->ledger.nothing_until(message.offset);
      of->end = of->ledger.next();
      of->at_end = true;
      return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      if (of && !giving_back_) reset(*of);
      return;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return report(words_of(message.err, owner_.settings_.group, {}), true);
    default:
      break;
  }
  const char* const topic = message.rkt ? rd_kafka_topic_name(message.rkt) : "";
  report(words_of(message.err, topic, rd_kafka_message_errstr(&message)), false);
}

void consumer::session::count_ahead() {
  std::uint64_t ahead = 0;
  for (const auto& one : lanes_)
    ahead += static_cast<std::uint64_t>(std::max<std::int64_t>(0, one->end - one->ledger.next()));
  owner_.ahead_.store(ahead, std::memory_order_relaxed);
}

/// One lock for all that were read.
void consumer::session::hand_over() {
  count_ahead();
  if (fresh_.empty()) return;
  const std::lock_guard lock(owner_.mutex_);
  for (auto& one : fresh_) owner_.buffer_.push_back(std::move(one));
  owner_.buffered_bytes_ += fresh_bytes_;
  owner_.buffered_.store(owner_.buffer_.size(), std::memory_order_relaxed);
  fresh_.clear();
  fresh_bytes_ = 0;
  const auto& limits = owner_.limits_;
  owner_.stalled_ =
      owner_.buffer_.size() >= limits.most_buffered || owner_.buffered_bytes_ >= limits.most_buffered_bytes;
  if (owner_.wanted_ && owner_.tell_.grown) owner_.tell_.grown();
  owner_.wanted_ = false;
}

consumer::session::lane* consumer::session::find(const rd_kafka_message_t& message) {
  if (message.rkt == last_topic_ && message.partition == last_partition_) return last_lane_;
  last_lane_ = find(rd_kafka_topic_name(message.rkt), message.partition);
  last_topic_ = message.rkt;
  last_partition_ = message.partition;
  return last_lane_;
}

consumer::session::lane* consumer::session::find(std::string_view topic, std::int32_t partition) {
  const auto at = std::ranges::find_if(
      lanes_, [&](const auto& one) { return one->name->partition == partition && one->name->topic == topic; });
  return at == lanes_.end() ? nullptr : at->get();
}

consumer::session::lane* consumer::session::find(std::uint32_t id) {
  const auto at = std::ranges::lower_bound(lanes_, id, {}, [](const auto& one) { return one->id; });
  return at == lanes_.end() || (*at)->id != id ? nullptr : at->get();
}

// --- what the worker says
// ------------------------------------------------------------------------------------------------

void consumer::session::take_operations() {
  std::vector<operation> all;
  {
    const std::lock_guard lock(owner_.mutex_);
    all.swap(owner_.operations_);
  }
  for (const auto& one : all) {
    auto* const of = find(one.at.lane);
    if (!of) continue;  // its partition is somebody else's by now
    if (one.tries) {
      of->ledger.retry(one.at.offset, *one.tries);
    } else {
      of->ledger.finish(one.at.offset);
      // A little room is not worth the records that librdkafka drops at a pause.
      if (of->held && of->ledger.beyond() < owner_.limits_.most_beyond * 9 / 10) let_go(*of);
    }
  }
}

void consumer::session::do_tasks() {
  std::vector<std::function<void(session&)>> all;
  {
    const std::lock_guard lock(owner_.mutex_);
    all.swap(owner_.tasks_);
  }
  for (const auto& one : all) one(*this);
}

void consumer::session::post_back(std::function<void(session&)> task) {
  {
    const std::lock_guard lock(owner_.mutex_);
    owner_.tasks_.push_back(std::move(task));
  }
  owner_.wake();
}

/// Too much is finished, or waits, beyond a record that is not.
void consumer::session::hold(lane& which) {
  auto list = new_partitions();
  add(list, which.name->topic, which.name->partition);
  rd_kafka_pause_partitions(client_, list.get());
  which.held = true;
  owner_.log_.warn(
      "trigger {}: nothing more of {} is read for now: {} records came after the one at offset {}, which is not "
      "settled",
      owner_.settings_.trigger, which.name->text, which.ledger.beyond(), which.ledger.committable());
}

void consumer::session::let_go(lane& which) {
  auto list = new_partitions();
  add(list, which.name->topic, which.name->partition);
  rd_kafka_resume_partitions(client_, list.get());
  which.held = false;
  owner_.log_.info("trigger {}: {} is read on", owner_.settings_.trigger, which.name->text);
}

// --- numbers and problems
// ------------------------------------------------------------------------------------------------

void consumer::session::look_around(steady::time_point now) {
  if (commit_sent_at_ && now - *commit_sent_at_ > 30s) committed(RD_KAFKA_RESP_ERR__TIMED_OUT, nullptr);
  if (now >= commit_next_ && !commit_sent_at_ && !giving_back_) {
    commit();
    commit_next_ = now + owner_.limits_.commit_every;
  }
  if (now < look_next_) return;
  look_next_ = now + look_every;
  for (const auto& one : lanes_) {
    std::int64_t low = 0;
    std::int64_t high = 0;
    // At the end, what else there may be is not committed by its producer.
    if (one->at_end || rd_kafka_get_watermark_offsets(client_, one->name->topic.c_str(), one->name->partition, &low,
                                                      &high) != RD_KAFKA_RESP_ERR_NO_ERROR)
      continue;
    one->end = std::max(one->end, high);
  }
  publish();
  if (now >= extents_next_ && !asking_) ask_extents(now);
}

/// Where nothing is fetched, nothing tells how far a partition has grown; and whether a problem is over tells nobody.
void consumer::session::ask_extents(steady::time_point now) {
  extents_next_ = now + ask_every;
  auto list = new_partitions(lanes_.size());
  for (const auto& one : lanes_) {
    if (!one->at_end) add(list, one->name->topic, one->name->partition);
  }
  const bool troubled = !cluster_problem_.empty();
  if (list->cnt == 0 && !troubled) return;
  asking_ = true;
  const std::shared_ptr<rd_kafka_topic_partition_list_t> shared(std::move(list));
  owner_.reader_.post([this, client = client_, shared, troubled, round = round_] {
    const partition_list copy(rd_kafka_topic_partition_list_copy(shared.get()));
    std::string problem;
    if (troubled) problem = check_topics(client, owner_.settings_.topics, ask_timeout);
    answer_of<partition_extent> answer;
    if (copy->cnt > 0 && problem.empty()) answer = look_up_extents(client, copy, ask_timeout);
    post_back([troubled, problem, answer = std::move(answer), round](session& self) {
      self.asking_ = false;
      if (troubled && problem.empty()) self.report({}, false);
      // That nobody answers may have a better reason, which is told already.
      if (!problem.empty() && !problem.starts_with("no broker")) self.report(problem, false);
      if (round != self.round_) return;
      for (const auto& one : answer.all) {
        if (auto* const of = self.find(one.topic, one.partition); of && !of->at_end)
          of->end = std::max(of->end, one.end);
      }
    });
  });
}

void consumer::session::publish() {
  count_ahead();
  std::vector<lane_numbers> all;
  for (const auto& one : lanes_) {
    lane_numbers numbers;
    numbers.topic = one->name->topic;
    numbers.partition = one->name->partition;
    numbers.lag =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, one->end - one->ledger.next())) + one->ledger.unfinished();
    numbers.oldest = one->ledger.oldest();
    if (one->held)
      numbers.held_by = "the record at offset " + std::to_string(one->ledger.committable()) + " is not settled, and " +
                        std::to_string(one->ledger.beyond()) + " came after it";
    all.push_back(std::move(numbers));
  }
  std::ranges::sort(all, {}, [](const auto& one) { return std::tie(one.topic, one.partition); });
  owner_.numbers_->set_lanes(std::move(all));
}

/// The same again is told once a minute.
void consumer::session::report(std::string problem, bool of_group) {
  auto& slot = of_group ? group_problem_ : cluster_problem_;
  const bool was = !slot.empty();
  slot = std::move(problem);
  const auto& now = cluster_problem_.empty() ? group_problem_ : cluster_problem_;
  owner_.numbers_->set_problem(now);
  if (now.empty()) {
    if (was) owner_.log_.info("trigger {}: its topics can be read again", owner_.settings_.trigger);
    told_.clear();
    return;
  }
  const auto at = steady::now();
  if (now == told_ && at - told_at_ < told_again) return;
  if (at - told_at_ < 5s && now.substr(0, 20) == told_.substr(0, 20)) return;
  owner_.log_.error("trigger {}: its topics cannot be read: {}", owner_.settings_.trigger, now);
  told_ = now;
  told_at_ = at;
}

}  // namespace rouse::gateway::events
