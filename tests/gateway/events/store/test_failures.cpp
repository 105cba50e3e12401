#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "support.hpp"

using namespace store_test;

namespace {

using Catch::Matchers::Contains;

open_error refusal(const std::string& directory, store_options options = {}) {
  const auto opened = store::open(directory, std::move(options));
  REQUIRE(opened.has_error());
  return opened.error();
}

void run_sql(const std::string& file, const char* sql) {
  sqlite3* on = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &on) == SQLITE_OK);
  REQUIRE(sqlite3_exec(on, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(on);
}

void overwrite(const std::string& file, std::size_t at, std::size_t count) {
  std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
  out.seekp(static_cast<std::streamoff>(at));
  out << std::string(count, '\xee');
  REQUIRE(out.good());
}

/// A disk that can be full: a small file system where that may be mounted, else a limit on how large files may be.
class small_disk {
 public:
  explicit small_disk(const std::string& at) : at_(at) {
    std::filesystem::create_directories(at);
    mounted_ = ::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=4m") == 0;
    if (mounted_) {
      std::ofstream(at + "/filler") << std::string(2 * 1024 * 1024, 'x');
      return;
    }
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 1024 * 1024;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  void make_room() {
    if (mounted_)
      std::filesystem::remove(at_ + "/filler");
    else
      ::setrlimit(RLIMIT_FSIZE, &before_);
  }
  ~small_disk() {
    make_room();
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;

 private:
  std::string at_;
  bool mounted_ = false;
  rlimit before_{};
};

}  // namespace

TEST_CASE("a second store on one directory is refused, and told who has it") {
  temporary_directory at;
  {
    store first = open(at.data());
    const auto error = refusal(at.data());
    CHECK(error.why == open_error::kind::in_use);
    CHECK_THAT(error.text, Contains("in use by another rouse (process " + std::to_string(::getpid()) + ")"));
    CHECK(append(first, first.stream("orders", 0ms).value(), {"a"}).has_value());
  }
  CHECK(store::open(at.data()).has_value());
}

TEST_CASE("a file of a newer version is refused") {
  temporary_directory at;
  { open(at.data()); }
  run_sql(at.data() + "/events.db", "PRAGMA user_version=99");
  const auto error = refusal(at.data());
  CHECK(error.why == open_error::kind::newer_version);
  CHECK_THAT(error.text, Contains("schema 99"));
}

TEST_CASE("somebody else's database is refused") {
  temporary_directory at;
  std::filesystem::create_directories(at.data());
  run_sql(at.data() + "/events.db", "CREATE TABLE theirs(a)");
  CHECK_THAT(refusal(at.data()).text, Contains("not a store of rouse"));
}

TEST_CASE("a directory that cannot be made is refused with the reason") {
  temporary_directory at;
  std::ofstream(at.path() + "/file") << "x";
  const auto error = refusal(at.path() + "/file/data");
  CHECK(error.why == open_error::kind::io);
  CHECK_THAT(error.text, Contains("Not a directory"));
}

TEST_CASE("a damaged file stops the start, with a way out that works") {
  temporary_directory at;
  const std::string file = at.data() + "/events.db";
  {
    store on = open(at.data());
    const auto orders = on.stream("orders", 0ms).value();
    for (int batch = 0; batch < 20; ++batch) append(on, orders, std::vector<std::string>(100, std::string(500, 'x')));
  }
  const auto size = std::filesystem::file_size(file);
  REQUIRE(size > 500000);
  SECTION("its head") {
    overwrite(file, 0, 64);
  }
  SECTION("its schema") {
    overwrite(file, 100, 3000);
  }
  SECTION("its middle") {
    overwrite(file, size / 2, 20000);
  }
  SECTION("its end is missing") {
    std::filesystem::resize_file(file, size / 2);
  }
  const auto error = refusal(at.data());
  CHECK(error.why == open_error::kind::corrupt);
  CHECK_THAT(error.text, Contains(file + " is damaged"));
  CHECK_THAT(error.text, Contains("leaves behind the events"));
  const auto from = error.text.find("mkdir");
  const auto to = error.text.find("/'.", from);
  REQUIRE(to != std::string::npos);
  REQUIRE(std::system(error.text.substr(from, to + 2 - from).c_str()) == 0);
  store on = open(at.data());
  CHECK(append(on, on.stream("orders", 0ms).value(), {"a"}).value().first == 1);
  CHECK(std::filesystem::exists(at.data() + "/damaged/events.db"));
}

TEST_CASE("a file too large to be read as a whole at start opens too, and is checked in part") {
  temporary_directory at;
  store_options options;
  options.check_bytes = 0;
  { open(at.data()).stream("orders", 0ms).value(); }
  CHECK(store::open(at.data(), options).has_value());
  overwrite(at.data() + "/events.db", 4096, 20000);
  CHECK(refusal(at.data(), options).why == open_error::kind::corrupt);
}

TEST_CASE("a full disk is said to be full, loses nothing, and is used again once there is room") {
  temporary_directory at;
  small_disk disk(at.data());
  fake_clock clock;
  std::int64_t kept = 0;
  {
    store on = open(at.data(), clock.options());
    const auto orders = on.stream("orders", 0ms).value();
    const auto bill = on.consumer("bill", orders, start_at::earliest).value();
    new_invocation what;
    what.function = "resize";
    what.max_requests = 2;
    REQUIRE(enqueue(on, what).has_value());
    store_result<appended> result = append(on, orders, {"first"});
    for (; result; result = append(on, orders, std::vector<std::string>(10, std::string(5000, 'x'))))
      kept = result->first + static_cast<std::int64_t>(result->count) - 1;
    CHECK(result.error().code == store_errc::storage_full);
    CHECK_THAT(result.error().text, Contains("no room left for " + at.data() + "/events.db"));
    CHECK(read(on, orders, 0, 100000, 1 << 30).size() == static_cast<std::size_t>(kept));

    // Not half done: neither settled nor a dead letter.
    CHECK(give_up(on, bill, 2, {1, 500, std::string(1 << 20, 'e')}).error().code == store_errc::storage_full);
    CHECK(on.waiting_bytes() == 0);
    CHECK(letters(on).empty());
    what.body = std::string(1 << 20, 'x');
    const auto called = enqueue(on, what);
    CHECK(called.error().code == store_errc::storage_full);
    on.settle(bill, {1});

    disk.make_room();
    CHECK(append(on, orders, {"again"}).value().first == kept + 1);
    CHECK(enqueue(on, what).has_value());  // the one refused did not count
    give_up(on, bill, 2, {1, 500, "e"}).value();
    CHECK(letters(on).size() == 1);
    CHECK(on.load(bill).value().position == 2);
  }
  store on = open(at.data(), clock.options());
  const auto orders = on.stream("orders", 0ms).value();
  const auto all = read(on, orders, 0, 100000, 1 << 30);
  CHECK(all.size() == static_cast<std::size_t>(kept + 1));
  CHECK(all.back().blob == "again");
  CHECK(on.load(on.consumer("bill", orders, start_at::earliest).value()).value().position == 2);
}

TEST_CASE("a store at its bound goes on when old events were dropped") {
  temporary_directory at;
  fake_clock clock;
  auto options = clock.options();
  options.max_pages = 200;
  store on = open(at.data(), options);
  const auto orders = on.stream("orders", 1h).value();
  store_result<appended> result = append(on, orders, {"first"});
  while (result) result = append(on, orders, std::vector<std::string>(10, std::string(1000, 'x')));
  CHECK(result.error().code == store_errc::storage_full);
  clock.advance(2h);
  sweep(on);
  CHECK(append(on, orders, {"again"}).has_value());
}

TEST_CASE("what waits when the store ends is written, and nobody is left without an answer") {
  temporary_directory at;
  std::promise<void> entered;
  std::promise<void> go_on;
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  {
    store on = open(at.data());
    const auto orders = on.stream("orders", 0ms).value();
    on.flush([&](const store_result<void>&) {
      entered.set_value();
      go_on.get_future().wait();
    });
    entered.get_future().wait();
    for (int one = 0; one < 100; ++one) {
      on.append(orders, {"x"}, [&](const store_result<appended>& result) {
        answered += result ? 1 : 1000;
        on.append(orders, {"y"}, [&](const store_result<appended>& late) {
          if (late || late.error().code == store_errc::closed) ++refused;
        });
      });
    }
    go_on.set_value();
  }
  CHECK(answered == 100);
  CHECK(refused == 100);
  store on = open(at.data());
  CHECK(read(on, on.stream("orders", 0ms).value()).size() >= 100);
}
