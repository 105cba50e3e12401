#include "gateway/events/kafka/consumer.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "gateway/events/kafka/session.hpp"

namespace rouse::gateway::events {

namespace {

using namespace std::chrono_literals;

constexpr auto open_again = 10s;      // a client that cannot be made: a file of certificates may yet come
constexpr auto read_again_wait = 5s;  // for one record

}  // namespace

consumer::consumer(topic_settings settings, topic_limits limits, std::shared_ptr<topic_numbers> numbers, listener tell,
                   spdlog::logger& log)
    : settings_(std::move(settings)),
      limits_(limits),
      numbers_(std::move(numbers)),
      log_(log),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      reader_(settings_),
      tell_(std::move(tell)) {
  if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

consumer::~consumer() {
  reader_.stop();
  ::close(wake_fd_);
}

void consumer::run() {
  bool told = false;
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return reader_.stop();
    }
    session one(*this);
    const auto problem = one.open();
    if (problem.empty()) return one.work();
    numbers_->set_problem(problem);
    if (!told) log_.error("trigger {}: no client for Kafka could be made: {}", settings_.trigger, problem);
    told = true;
    std::unique_lock lock(mutex_);
    pause_.wait_for(lock, open_again, [this] { return stopping_; });
  }
}

void consumer::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

std::vector<arrived_record> consumer::take(std::size_t count, bool& more) {
  std::vector<arrived_record> out;
  bool wakes = false;
  {
    const std::lock_guard lock(mutex_);
    const auto n = std::min(count, buffer_.size());
    out.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
      buffered_bytes_ -= size_of(buffer_.front());
      out.push_back(std::move(buffer_.front()));
      buffer_.pop_front();
    }
    more = !buffer_.empty();
    if (!more) wanted_ = true;
    buffered_.store(buffer_.size(), std::memory_order_relaxed);
    if (stalled_ && buffer_.size() * 2 <= limits_.most_buffered && buffered_bytes_ * 2 <= limits_.most_buffered_bytes) {
      stalled_ = false;
      wakes = true;
    }
  }
  if (wakes) wake();
  return out;
}

void consumer::settle(record_place what) {
  const std::lock_guard lock(mutex_);
  operations_.push_back({what, std::nullopt});
  if (urgent_) wake();
}

void consumer::retry(record_place what, const record_tries& tries) {
  const std::lock_guard lock(mutex_);
  operations_.push_back({what, tries});
  if (urgent_) wake();
}

void consumer::given_back() {
  const std::lock_guard lock(mutex_);
  given_back_ = true;
  wake();
}

void consumer::read_again(std::shared_ptr<const lane_name> lane, std::int64_t offset,
                          std::function<void(records_again)> then) {
  reader_.post([this, lane = std::move(lane), offset, then = std::move(then)] {
    then(reader_.read(lane->topic, lane->partition, offset, read_again_wait));
  });
}

std::uint64_t consumer::not_taken() const noexcept {
  return ahead_.load(std::memory_order_relaxed) + buffered_.load(std::memory_order_relaxed);
}

void consumer::stop() {
  const std::lock_guard lock(mutex_);
  tell_ = {};
  stopping_ = true;
  pause_.notify_all();
  wake();
}

}  // namespace rouse::gateway::events
