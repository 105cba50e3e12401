// Measures the embedded store: appends by many callers against a bare loop of the same batches into the same schema,
// the worst commit while checkpoints and drops go on, and a long backlog. README.md has the figures.
//
//   store_bench [--seconds N] [--rounds N] [--backlog N] [DIRECTORY]
//   default: 3 seconds for each of the three in each of 5 rounds, 1000000 events, build/store-bench-data (emptied)
//   store_bench --bare GROUP [--seconds N] [DIRECTORY]     the bare loop alone, as a line of JSON, for events.py
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/events/store/store.hpp"

namespace {

using namespace rouse::gateway::events;
using steady = std::chrono::steady_clock;

constexpr std::size_t event_bytes = 1024;
constexpr std::size_t appenders = 64;

double milliseconds(steady::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}
double seconds_since(steady::time_point start) {
  return std::chrono::duration<double>(steady::now() - start).count();
}

std::string random_event() {
  static std::mt19937_64 random(1);
  std::string out(event_bytes, '\0');
  for (std::size_t at = 0; at < out.size(); at += 8) {
    const auto bits = random();
    std::memcpy(out.data() + at, &bits, 8);
  }
  return out;
}

struct figures {
  double median = 0, p99 = 0, max = 0;
};

figures summarise(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 99 / 100], values.back()};
}

figures measure_fdatasync(const std::string& directory) {
  const std::string name = directory + "/fdatasync";
  const int file = ::open(name.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) throw std::runtime_error("cannot write " + name);
  const std::string data(64 * event_bytes, 'x');
  std::vector<double> times;
  // Written twice over, as the log is: the second time the file does not grow.
  for (int round = 0; round < 400; ++round) {
    const auto start = steady::now();
    if (::pwrite(file, data.data(), data.size(), (round % 200) * static_cast<off_t>(data.size())) < 0) break;
    ::fdatasync(file);
    if (round >= 200) times.push_back(milliseconds(steady::now() - start));
  }
  ::close(file);
  std::filesystem::remove(name);
  return summarise(std::move(times));
}

std::string fresh(const std::string& directory, const char* name) {
  const std::string out = directory + "/" + name;
  std::filesystem::remove_all(out);
  return out;
}

store open_store(const std::string& directory, store_options options = {}) {
  auto opened = store::open(directory, std::move(options));
  if (!opened) throw std::runtime_error(opened.error().text);
  return std::move(*opened);
}

/// Callers that append one event each, and the next one as soon as the last is durable.
class load {
 public:
  load(store& on, stream_id stream, std::size_t callers)
      : store_(on), stream_(stream), open_(callers), started_(callers) {
    event_ = random_event();
    for (auto& start : started_) start = steady::now();
    for (std::size_t caller = 0; caller < callers; ++caller) append(caller);
  }
  void stop() {
    stopping_ = true;
    finished_.get_future().wait();
  }
  std::size_t events = 0;
  std::vector<double> waits;  ///< milliseconds from the call until durable

 private:
  void append(std::size_t caller) {
    started_[caller] = steady::now();
    std::vector<std::string> blobs;
    blobs.push_back(event_);
    store_.append(stream_, std::move(blobs), [this, caller](const store_result<appended>& result) {
      if (!result) std::fprintf(stderr, "append: %s\n", result.error().text.c_str());
      ++events;
      waits.push_back(milliseconds(steady::now() - started_[caller]));
      if (!stopping_) return append(caller);
      if (--open_ == 0) finished_.set_value();
    });
  }

  store& store_;
  stream_id stream_;
  std::size_t open_;
  std::atomic<bool> stopping_{false};
  std::promise<void> finished_;
  std::string event_;
  std::vector<steady::time_point> started_;
};

void fill(store& on, stream_id stream, std::size_t count) {
  constexpr std::size_t batch = 250;
  std::atomic<std::size_t> waiting{0};
  for (std::size_t done = 0; done < count; done += batch) {
    std::vector<std::string> blobs;
    for (std::size_t one = 0; one < batch; ++one) blobs.push_back(random_event());
    while (waiting >= 8) ::usleep(200);
    ++waiting;
    on.append(stream, std::move(blobs), [&waiting](const store_result<appended>& result) {
      if (!result) std::fprintf(stderr, "append: %s\n", result.error().text.c_str());
      --waiting;
    });
  }
  while (waiting != 0) ::usleep(200);
}

void wait_for(const std::function<void(completion<void>)>& start) {
  std::promise<void> ended;
  start([&ended](const store_result<void>&) { ended.set_value(); });
  ended.get_future().wait();
}

/// Microseconds of CPU that this process has used.
double cpu() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return 1e6 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

double median(std::vector<double> values) {
  return summarise(std::move(values)).median;
}

struct append_result {
  double rate = 0;
  double cpu = 0;  ///< microseconds for each event
  figures waits;
  std::size_t group = 1;
};

append_result measure_appends(const std::string& directory, double seconds) {
  store on = open_store(fresh(directory, "appends"));
  const auto stream = on.stream("orders", std::chrono::hours(1)).value();
  std::atomic<std::size_t> commits{0};
  on.on_growth(stream, [&commits](std::int64_t) { ++commits; });
  wait_for([&on](completion<void> done) { on.flush(std::move(done)); });
  const auto start = steady::now();
  const double cpu_before = cpu();
  load callers(on, stream, appenders);
  ::usleep(static_cast<useconds_t>(seconds * 1e6));
  callers.stop();
  append_result out;
  out.rate = static_cast<double>(callers.events) / seconds_since(start);
  out.cpu = (cpu() - cpu_before) / static_cast<double>(callers.events);
  out.group = std::max<std::size_t>(1, (callers.events + commits / 2) / std::max<std::size_t>(1, commits));
  out.waits = summarise(callers.waits);
  return out;
}

void run(sqlite3* on, const std::string& sql) {
  if (sqlite3_exec(on, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    throw std::runtime_error(sqlite3_errmsg(on));
}

/// The least that the same work takes: one thread, one statement, nobody to answer.
append_result measure_bare(const std::string& directory, double seconds, std::size_t group, int autocheckpoint) {
  const std::string at = fresh(directory, "bare");
  { (void)open_store(at).stream("orders", std::chrono::hours(1)); }
  sqlite3* on = nullptr;
  if (sqlite3_open((at + "/events.db").c_str(), &on) != SQLITE_OK)
    throw std::runtime_error("cannot open the bare file");
  run(on, "PRAGMA journal_mode=WAL");
  run(on, "PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF; PRAGMA cache_size=-8192");
  run(on, "PRAGMA wal_autocheckpoint=" + std::to_string(autocheckpoint));
  sqlite3_stmt* insert = nullptr;
  sqlite3_prepare_v2(on, "INSERT INTO event_1(seq, time, only, data) VALUES(?, ?, NULL, ?)", -1, &insert, nullptr);
  const std::string event = random_event();
  std::int64_t seq = 0;
  const auto start = steady::now();
  const double cpu_before = cpu();
  while (seconds_since(start) < seconds) {
    run(on, "BEGIN IMMEDIATE");
    for (std::size_t one = 0; one < group; ++one) {
      sqlite3_bind_int64(insert, 1, ++seq);
      sqlite3_bind_int64(insert, 2, 1700000000000);
      sqlite3_bind_blob(insert, 3, event.data(), static_cast<int>(event.size()), SQLITE_STATIC);
      if (sqlite3_step(insert) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(on));
      sqlite3_reset(insert);
    }
    run(on, "COMMIT");
  }
  append_result out;
  out.rate = static_cast<double>(seq) / seconds_since(start);
  out.cpu = (cpu() - cpu_before) / static_cast<double>(seq);
  sqlite3_finalize(insert);
  sqlite3_close(on);
  return out;
}

/// In turns, because a disk that others use as well is not the same from one second to the next.
void compare(const std::string& directory, double seconds, int rounds) {
  std::vector<double> rates, groups, cpus, medians, p99s, worst, bare_rates, bare_cpus, unchecked_rates, ratios,
      unchecked_ratios;
  for (int round = 0; round < rounds; ++round) {
    const auto ours = measure_appends(directory, seconds);
    const auto bare = measure_bare(directory, seconds, ours.group, 1000);
    const auto unchecked = measure_bare(directory, seconds, ours.group, 0);
    rates.push_back(ours.rate);
    groups.push_back(static_cast<double>(ours.group));
    cpus.push_back(ours.cpu);
    medians.push_back(ours.waits.median);
    p99s.push_back(ours.waits.p99);
    worst.push_back(ours.waits.max);
    bare_rates.push_back(bare.rate);
    bare_cpus.push_back(bare.cpu);
    unchecked_rates.push_back(unchecked.rate);
    ratios.push_back(100 * ours.rate / bare.rate);
    unchecked_ratios.push_back(100 * ours.rate / unchecked.rate);
  }
  std::printf(
      "%zu appenders of %zu bytes           %8.0f events/s in groups of %.0f, %.1f us of CPU each; durable after %.2f "
      "ms "
      "(median), %.2f (p99), %.1f (worst of all rounds), checkpoints going on\n",
      appenders, event_bytes, median(rates), median(groups), median(cpus), median(medians), median(p99s),
      *std::max_element(worst.begin(), worst.end()));
  std::printf(
      "bare loop, checkpoint each 1000 pages %6.0f events/s, %.1f us of CPU each; the store has %.0f %% of it\n",
      median(bare_rates), median(bare_cpus), median(ratios));
  std::printf("bare loop, never a checkpoint         %6.0f events/s; the store has %.0f %% of it\n",
              median(unchecked_rates), median(unchecked_ratios));
}

/// One append at a time, every millisecond or so, while 500,000 settled events are dropped; then the same under full
/// load.
void measure_drops(const std::string& directory, std::size_t callers) {
  constexpr std::size_t count = 500000;
  std::atomic<std::int64_t> skew{0};
  store_options options;
  options.clock = [&skew] {
    const auto now = std::chrono::system_clock::now() + std::chrono::hours(skew);
    return std::chrono::time_point_cast<std::chrono::milliseconds>(now);
  };
  store on = open_store(fresh(directory, "drops"), options);
  const auto stream = on.stream("orders", std::chrono::hours(1)).value();
  const auto consumer = on.consumer("bill", stream, start_at::earliest).value();
  fill(on, stream, count);
  on.settle_range(consumer, {1, static_cast<std::int64_t>(count)});
  wait_for([&on](completion<void> done) { on.flush(std::move(done)); });
  skew = 2;
  const auto start = steady::now();
  load appending(on, stream, callers);
  wait_for([&on](completion<void> done) { on.sweep(std::move(done)); });
  const double took = seconds_since(start);
  appending.stop();
  const auto waits = summarise(appending.waits);
  std::printf(
      "dropping %zu settled events       %8.1f s beside %zu appender(s): %.0f events/s durable after %.2f ms "
      "(median), %.2f (p99), %.1f (max)\n",
      count, took, callers, static_cast<double>(appending.events) / took, waits.median, waits.p99, waits.max);
}

double resident_mib() {
  std::ifstream status("/proc/self/statm");
  long total = 0;
  long resident = 0;
  status >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024 * 1024);
}

void measure_backlog(const std::string& directory, std::size_t count) {
  const std::string at = fresh(directory, "backlog");
  {
    store on = open_store(at);
    const auto stream = on.stream("orders", std::chrono::hours(1)).value();
    (void)on.consumer("bill", stream, start_at::earliest);
    fill(on, stream, count);
    std::printf("backlog of %zu events          resident %.0f MiB after writing it", count, resident_mib());
  }
  const auto start = steady::now();
  store on = open_store(at);
  const double opened = milliseconds(steady::now() - start);
  const auto stream = on.stream("orders", std::chrono::hours(1)).value();
  const auto consumer = on.consumer("bill", stream, start_at::earliest).value();
  std::int64_t position = on.load(consumer).value().position;
  std::size_t read = 0;
  double first = 0;
  const auto reading = steady::now();
  while (true) {
    std::promise<std::vector<record>> records;
    on.read(stream, position, 500, 1024 * 1024,
            [&records](store_result<std::vector<record>> result) { records.set_value(std::move(result).value()); });
    const auto some = records.get_future().get();
    if (first == 0) first = milliseconds(steady::now() - start);
    if (some.empty()) break;
    read += some.size();
    position = some.back().seq;
    on.settle_range(consumer, {some.front().seq, some.back().seq});
  }
  std::printf(
      "; opened in %.1f ms, first read %.1f ms after the start; all read and settled at %.0f events/s; resident "
      "%.0f MiB\n",
      opened, first, static_cast<double>(read) / seconds_since(reading), resident_mib());
}

}  // namespace

int main(int count, char** words) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  double seconds = 3;
  int rounds = 5;
  std::size_t backlog = 1000000;
  std::size_t bare = 0;
  std::string directory = "build/store-bench-data";
  for (int at = 1; at < count; ++at) {
    if (std::strcmp(words[at], "--seconds") == 0 && at + 1 < count)
      seconds = std::atof(words[++at]);
    else if (std::strcmp(words[at], "--rounds") == 0 && at + 1 < count)
      rounds = std::max(1, std::atoi(words[++at]));
    else if (std::strcmp(words[at], "--backlog") == 0 && at + 1 < count)
      backlog = static_cast<std::size_t>(std::atoll(words[++at]));
    else if (std::strcmp(words[at], "--bare") == 0 && at + 1 < count)
      bare = static_cast<std::size_t>(std::max(1, std::atoi(words[++at])));
    else
      directory = words[at];
  }
  try {
    std::filesystem::create_directories(directory);
    const auto sync = measure_fdatasync(directory);
    if (bare > 0) {
      const auto checked = measure_bare(directory, seconds, bare, 1000);
      const auto unchecked = measure_bare(directory, seconds, bare, 0);
      std::printf(
          "{\"sync_ms\": %.3f, \"sync_p99_ms\": %.3f, \"rate\": %.0f, \"unchecked_rate\": %.0f, \"cpu_us\": %.2f}\n",
          sync.median, sync.p99, checked.rate, unchecked.rate, checked.cpu);
      std::filesystem::remove_all(directory);
      return 0;
    }
    std::printf("pwrite of 64 KiB and fdatasync      %.2f ms (median), %.2f (p99), %.1f (max)\n", sync.median, sync.p99,
                sync.max);
    compare(directory, seconds, rounds);
    measure_drops(directory, 1);
    measure_drops(directory, appenders);
    measure_backlog(directory, backlog);
    std::filesystem::remove_all(directory);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
