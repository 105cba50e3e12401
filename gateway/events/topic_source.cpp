#include "gateway/events/topic_source.hpp"

#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "gateway/events/kafka/consumer.hpp"

namespace rouse::gateway::events {

namespace {

attempts_made made_of(const record_tries& tries) {
  attempts_made out;
  out.count = tries.count;
  out.first_failed = tries.first_failed;
  out.next_try = tries.next_try;
  return out;
}

/// The way from other threads to the worker, until it is shut.
class door {
 public:
  explicit door(worker& to) : to_(&to) {}
  template <typename Task>
  void post(Task task) {
    const std::lock_guard lock(mutex_);
    if (to_ != nullptr) to_->post(std::move(task));
  }
  void shut() {
    const std::lock_guard lock(mutex_);
    to_ = nullptr;
  }

 private:
  std::mutex mutex_;
  worker* to_;
};

}  // namespace

/// The worker's. Other threads hold numbers of what they are to answer, and a weak pointer that they do not touch.
class topic_source::impl : public std::enable_shared_from_this<impl> {
 public:
  impl(worker& on, topic_settings settings, keep_dead_record keep, client_threads& threads, spdlog::logger& log,
       topic_limits limits)
      : worker_(on),
        settings_(std::move(settings)),
        keep_(std::move(keep)),
        threads_(threads),
        log_(log),
        limits_(limits),
        door_(std::make_shared<door>(on)) {}

  void begin(news tell, std::function<void(beginning)> then);
  void fetch(std::size_t count, const std::function<void(batch)>& then);
  void fetch_again(std::uint64_t number, std::function<void(one)> then);
  void settle(std::uint64_t number);
  void retry(std::uint64_t number, const attempts_made& made);
  void give_up(std::uint64_t number, const cloud_event& event, const failure& why, std::function<void(bool)> then);
  void end();

  /// Runs it on the worker, from there; not from inside what is running.
  template <typename Task>
  void later(Task task) {
    worker_.post([weak = weak_from_this(), task = std::move(task)]() mutable {
      if (const auto self = weak.lock(); self && !self->ended_) task(*self);
    });
  }
  /// What brings an answer to the worker from any thread.
  template <typename Task>
  auto from_outside(Task task) {
    return [door = door_, weak = weak_from_this(), task = std::move(task)](auto... what) {
      door->post([weak, task, ... what = std::move(what)]() mutable {
        if (const auto self = weak.lock(); self && !self->ended_) task(*self, std::move(what)...);
      });
    };
  }

  const std::shared_ptr<topic_numbers> numbers = std::make_shared<topic_numbers>();
  std::shared_ptr<consumer> from;

 private:
  struct place {
    record_place at;
    std::shared_ptr<const lane_name> lane;
  };
  using content_key = std::pair<std::uint32_t, std::int64_t>;
  struct content {
    std::optional<std::string> key;
    record_event what;
  };
  struct question {
    std::uint64_t number = 0;
    std::function<void(one)> then;
  };
  struct burial {
    std::uint64_t number = 0;
    std::function<void(bool)> then;
  };

  void taken_back();
  void answer(std::uint64_t id, records_again result);
  void buried(std::uint64_t id, bool kept);
  void keep_ahead(std::uint32_t lane, record_again record);
  static item item_of(std::uint64_t number, const place& at, content what);

  worker& worker_;
  const topic_settings settings_;
  const keep_dead_record keep_;
  client_threads& threads_;
  spdlog::logger& log_;
  const topic_limits limits_;
  const std::shared_ptr<door> door_;
  news tell_;
  bool ended_ = false;
  std::uint64_t last_number_ = 0;
  std::uint64_t last_question_ = 0;
  std::unordered_map<std::uint64_t, place> places_;  ///< by number, until settled
  std::map<std::uint64_t, question> questions_;
  std::map<std::uint64_t, burial> burials_;
  std::map<content_key, content> ahead_;  ///< read again with others, and not asked for yet
  std::deque<content_key> ahead_order_;
  std::size_t ahead_bytes_ = 0;
};

void topic_source::impl::begin(news tell, std::function<void(beginning)> then) {
  tell_ = std::move(tell);
  consumer::listener listener;
  listener.grown = from_outside([](impl& self) {
    if (self.tell_.grown) self.tell_.grown();
  });
  listener.taken_back = from_outside([](impl& self) { self.taken_back(); });
  from = std::make_shared<consumer>(settings_, limits_, numbers, std::move(listener), log_);
  threads_.run([consumer = from] { consumer->run(); });
  // What was tried comes with its attempts as it is read.
  later([then = std::move(then)](impl&) { then(beginning()); });
}

/// Taken when it is handed out, so that nothing is on its way to the trigger when partitions are taken back.
void topic_source::impl::fetch(std::size_t count, const std::function<void(batch)>& then) {
  batch out;
  auto records = from->take(count, out.more);
  out.items.reserve(records.size());
  for (auto& one : records) {
    const auto number = ++last_number_;
    const auto& at = places_.emplace(number, place{one.at, std::move(one.lane)}).first->second;
    out.items.push_back(item_of(number, at, content{std::move(one.key), std::move(one.what)}));
    out.items.back().made = made_of(one.tries);
  }
  then(std::move(out));
}

event_source::item topic_source::impl::item_of(std::uint64_t number, const place& at, content what) {
  item out;
  out.number = number;
  out.lane = at.lane->text;
  out.order_key = std::move(what.key);
  out.event = std::move(what.what.event);
  out.unreadable = !what.what.unreadable.empty();
  out.why = std::move(what.what.unreadable);
  return out;
}

void topic_source::impl::fetch_again(std::uint64_t number, std::function<void(one)> then) {
  const auto at = places_.find(number);
  if (at == places_.end()) return later([then = std::move(then)](impl&) { then(one()); });
  const auto& place = at->second;
  if (const auto kept = ahead_.find({place.at.lane, place.at.offset}); kept != ahead_.end()) {
    auto found = std::make_shared<one>();
    found->found = std::make_unique<item>(item_of(number, place, std::move(kept->second)));
    ahead_bytes_ -= 256 + found->found->event.data.size();
    ahead_.erase(kept);
    return later([then = std::move(then), found](impl&) { then(std::move(*found)); });
  }
  const auto id = ++last_question_;
  questions_.emplace(id, question{number, std::move(then)});
  auto back =
      from_outside([id](impl& self, std::shared_ptr<records_again> result) { self.answer(id, std::move(*result)); });
  from->read_again(place.lane, place.at.offset,
                   [back](records_again result) { back(std::make_shared<records_again>(std::move(result))); });
}

void topic_source::impl::answer(std::uint64_t id, records_again result) {
  auto asked = std::move(questions_.extract(id).mapped());
  one out;
  out.problem = std::move(result.problem);
  const auto at = places_.find(asked.number);
  if (out.problem.empty() && at != places_.end()) {
    const auto place = at->second;
    if (result.found.empty()) {
      log_.error("trigger {}: record {}/{} is lost: retention dropped it before it was delivered", settings_.trigger,
                 place.lane->text, place.at.offset);
    } else {
      auto& first = result.found.front();
      out.found =
          std::make_unique<item>(item_of(asked.number, place, content{std::move(first.key), std::move(first.what)}));
      for (std::size_t i = 1; i < result.found.size(); ++i) keep_ahead(place.at.lane, std::move(result.found[i]));
    }
  }
  asked.then(std::move(out));
}

void topic_source::impl::keep_ahead(std::uint32_t lane, record_again record) {
  const content_key key{lane, record.offset};
  const auto size = 256 + record.what.event.data.size();
  if (!ahead_.emplace(key, content{std::move(record.key), std::move(record.what)}).second) return;
  ahead_bytes_ += size;
  ahead_order_.push_back(key);
  while (ahead_bytes_ > limits_.most_read_ahead || ahead_order_.size() > 100'000) {
    const auto oldest = ahead_.find(ahead_order_.front());
    ahead_order_.pop_front();
    if (oldest == ahead_.end()) continue;
    ahead_bytes_ -= 256 + oldest->second.what.event.data.size();
    ahead_.erase(oldest);
  }
}

void topic_source::impl::settle(std::uint64_t number) {
  const auto at = places_.find(number);
  if (at == places_.end()) return;
  const auto where = at->second.at;
  places_.erase(at);
  if (const auto kept = ahead_.find({where.lane, where.offset}); kept != ahead_.end()) {
    ahead_bytes_ -= 256 + kept->second.what.event.data.size();
    ahead_.erase(kept);
  }
  from->settle(where);
}

void topic_source::impl::retry(std::uint64_t number, const attempts_made& made) {
  const auto at = places_.find(number);
  if (at == places_.end()) return;
  record_tries tries;
  tries.count = made.count;
  tries.first_failed = made.first_failed;
  tries.next_try = made.next_try;
  from->retry(at->second.at, tries);
}

void topic_source::impl::give_up(std::uint64_t number, const cloud_event& event, const failure& why,
                                 std::function<void(bool)> then) {
  const auto at = places_.find(number);
  if (at == places_.end()) return later([then = std::move(then)](impl&) { then(false); });
  const auto id = ++last_question_;
  burials_.emplace(id, burial{number, std::move(then)});
  const auto& place = at->second;
  keep_(place_of(place.lane->topic, place.lane->partition, place.at.offset), event, why,
        from_outside([id](impl& self, bool kept) { self.buried(id, kept); }));
}

void topic_source::impl::buried(std::uint64_t id, bool kept) {
  const auto asked = std::move(burials_.extract(id).mapped());
  if (kept) settle(asked.number);
  asked.then(kept);
}

void topic_source::impl::taken_back() {
  ahead_.clear();
  ahead_order_.clear();
  ahead_bytes_ = 0;
  const auto back = [weak = weak_from_this(), until = last_number_] {
    const auto self = weak.lock();
    if (!self || self->ended_) return;
    std::erase_if(self->places_, [until](const auto& one) { return one.first <= until; });
    self->from->given_back();
  };
  if (tell_.taken_back) return tell_.taken_back(back);
  back();
}

void topic_source::impl::end() {
  if (std::exchange(ended_, true)) return;
  door_->shut();
  tell_ = {};
  if (from) from->stop();
}

topic_source::topic_source(worker& on, topic_settings settings, keep_dead_record keep, client_threads& threads,
                           spdlog::logger& log, topic_limits limits)
    : impl_(std::make_shared<impl>(on, std::move(settings), std::move(keep), threads, log, limits)) {}

topic_source::~topic_source() {
  impl_->end();
}

std::shared_ptr<const topic_numbers> topic_source::numbers() const {
  return impl_->numbers;
}

void topic_source::begin(news tell, std::function<void(beginning)> then) {
  impl_->begin(std::move(tell), std::move(then));
}

void topic_source::fetch(std::size_t count, std::function<void(batch)> then) {
  impl_->later([count, then = std::move(then)](impl& self) { self.fetch(count, then); });
}

void topic_source::fetch_again(std::uint64_t number, std::function<void(one)> then) {
  impl_->fetch_again(number, std::move(then));
}

void topic_source::settle(std::uint64_t number) {
  impl_->settle(number);
}

void topic_source::settle_range(std::uint64_t first, std::uint64_t last) {
  for (auto number = first; number <= last; ++number) impl_->settle(number);
}

void topic_source::retry(std::uint64_t number, const attempts_made& made, const failure& /*why*/) {
  impl_->retry(number, made);
}

void topic_source::give_up(std::uint64_t number, const cloud_event& event, const failure& why,
                           std::function<void(bool)> then) {
  impl_->give_up(number, event, why, std::move(then));
}

std::uint64_t topic_source::unfetched() const {
  return impl_->from ? impl_->from->not_taken() : 0;
}

void topic_source::end() {
  impl_->end();
}

}  // namespace rouse::gateway::events
