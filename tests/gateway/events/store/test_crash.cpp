// kill -9 in the midst of appends, settles, dead letters and invocations: what was acknowledged is there, and nothing
// is half there.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "support.hpp"

using namespace store_test;

namespace {

constexpr int rounds = 30;
constexpr int callers = 6;

bool given_up_on(std::int64_t seq) {
  return seq % 5 == 0;
}

/// The process that will be killed: callers that go on for ever, and say on a pipe what they were told is done.
class victim {
 public:
  victim(const std::string& directory, int pipe, unsigned seed)
      : pipe_(pipe), random_(seed), store_(open(directory)), orders_(store_.stream("orders", 0ms).value()) {
    bill_ = store_.consumer("bill", orders_, start_at::earliest).value();
    store_.flush([this](const store_result<void>&) {
      for (int caller = 0; caller < callers; ++caller) {
        append();
        call();
      }
    });
  }

 private:
  void say(const std::string& line) const {
    if (::write(pipe_, line.data(), line.size()) < 0) ::_exit(1);
  }
  // Completions run on the writer's thread alone, so nothing here needs a lock.
  void append() {
    const std::size_t count = 1 + random_() % 5;
    std::vector<std::string> blobs;
    for (std::size_t one = 0; one < count; ++one) {
      blobs.push_back(std::to_string(one) + "/" + std::to_string(count) + " ");
      blobs.back() += std::string(random_() % 3000, 'x');
    }
    store_.append(orders_, std::move(blobs), [this](const store_result<appended>& result) {
      if (!result) ::_exit(2);
      const auto end = result->first + static_cast<std::int64_t>(result->count);
      say("A " + std::to_string(result->first) + " " + std::to_string(result->count) + "\n");
      for (auto seq = result->first; seq < end; ++seq) {
        if (!given_up_on(seq)) {
          store_.settle(bill_, {seq});
          continue;
        }
        store_.give_up(bill_, seq, {}, [this, seq](const store_result<void>& gone) {
          if (!gone) ::_exit(3);
          say("D " + std::to_string(seq) + "\n");
        });
      }
      append();
    });
  }
  void call() {
    new_invocation what;
    what.function = "resize";
    for (auto& byte : what.random) byte = static_cast<std::uint8_t>(random_());
    what.body = std::string(random_() % 2000, 'y');
    store_.enqueue(what, [this](const store_result<enqueued>& result) {
      if (!result) ::_exit(4);
      say("I " + result->id.text() + "\n");
      call();
    });
  }

  int pipe_;
  std::mt19937 random_;
  store store_;
  stream_id orders_;
  consumer_id bill_{};
};

/// What victims were told, over all rounds.
struct promises {
  std::map<std::int64_t, std::int64_t> batches;
  std::set<std::int64_t> letters;
  std::set<std::string> invocations;

  void note(const std::string& line) {
    std::istringstream words(line);
    char kind = 0;
    words >> kind;
    if (kind == 'A') {
      std::int64_t first = 0;
      words >> first;
      words >> batches[first];
    } else if (kind == 'D') {
      std::int64_t seq = 0;
      words >> seq;
      letters.insert(seq);
    } else {
      std::string id;
      words >> id;
      invocations.insert(id);
    }
  }
};

void run_and_kill(const std::string& directory, promises& made, std::mt19937& random) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(ends[0]);
    // Standing still, it is only its threads that work; it never comes back into the test.
    auto* working = new victim(directory, ends[1], static_cast<unsigned>(random()));
    while (working != nullptr) ::pause();
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  auto lines_left = static_cast<std::ptrdiff_t>(1 + random() % 120);
  bool killed = false;
  while (true) {
    const ssize_t size = ::read(ends[0], buffer, sizeof buffer);
    if (size <= 0) break;
    text.append(buffer, static_cast<std::size_t>(size));
    lines_left -= std::count(buffer, buffer + size, '\n');
    if (lines_left <= 0 && !killed) {
      ::kill(child, SIGKILL);
      killed = true;
    }
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGKILL);
  std::istringstream all(text);
  for (std::string line; std::getline(all, line) && !all.eof();) made.note(line);
}

void check_events(store& on, stream_id orders, const promises& made) {
  const auto all = read(on, orders, 0, 10'000'000, std::size_t{1} << 40);
  std::size_t expected = 0;
  for (std::size_t at = 0; at < all.size(); ++at) {
    REQUIRE(all[at].seq == static_cast<std::int64_t>(at) + 1);
    std::size_t index = 0;
    std::size_t of = 0;
    REQUIRE(std::sscanf(all[at].blob.c_str(), "%zu/%zu", &index, &of) == 2);
    REQUIRE(index == expected);
    expected = index + 1 == of ? 0 : index + 1;
  }
  REQUIRE(expected == 0);  // no half batch
  for (const auto& [first, count] : made.batches) {
    REQUIRE(first + count - 1 <= static_cast<std::int64_t>(all.size()));
    REQUIRE(all[static_cast<std::size_t>(first - 1)].blob.starts_with("0/" + std::to_string(count) + " "));
  }
}

void check_settled(store& on, stream_id orders, const promises& made) {
  const auto state = on.load(on.consumer("bill", orders, start_at::earliest).value()).value();
  std::set<std::int64_t> kept;
  for (const auto& letter : letters(on, "bill", 0, 1'000'000)) REQUIRE(kept.insert(letter.seq).second);
  for (const auto seq : made.letters) REQUIRE(kept.contains(seq));
  const auto check = [&kept](std::int64_t first, std::int64_t last) {
    for (auto seq = first; seq <= last; ++seq)
      if (given_up_on(seq)) REQUIRE(kept.contains(seq));
  };
  std::set<std::int64_t> unsettled(kept);
  const auto remove = [&unsettled](std::int64_t first, std::int64_t last) {
    unsettled.erase(unsettled.lower_bound(first), unsettled.upper_bound(last));
  };
  check(1, state.position);
  remove(1, state.position);
  for (const auto& range : state.settled) {
    check(range.first, range.last);
    remove(range.first, range.last);
  }
  REQUIRE(unsettled.empty());  // no dead letter of an event that will be delivered again
}

void check_invocations(store& on, const promises& made) {
  for (const auto& id : made.invocations) REQUIRE(look_up(on, *invocation_id::parse(id)).has_value());
  const auto queue = usage(on).queues;
  const auto all = take(on, "resize", 1'000'000, std::size_t{1} << 40);
  REQUIRE(all.invocations.size() >= made.invocations.size());
  std::size_t bytes = 0;
  for (const auto& one : all.invocations) bytes += one.body.size();
  if (queue.empty()) {
    REQUIRE(all.invocations.empty());
  } else {
    REQUIRE(queue[0].requests == static_cast<std::int64_t>(all.invocations.size()));
    REQUIRE(queue[0].bytes == static_cast<std::int64_t>(bytes));
  }
}

}  // namespace

TEST_CASE("a store survives kill -9 at any moment") {
  temporary_directory at;
  std::random_device device;
  const unsigned seed = device();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  promises made;
  for (int round = 0; round < rounds; ++round) {
    run_and_kill(at.data(), made, random);
    store on = open(at.data());
    const auto orders = on.stream("orders", 0ms).value();
    check_events(on, orders, made);
    check_settled(on, orders, made);
    check_invocations(on, made);
  }
  CHECK(made.batches.size() > rounds);
  CHECK_FALSE(made.letters.empty());
}
