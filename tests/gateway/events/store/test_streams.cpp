#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <thread>

#include "support.hpp"

using namespace store_test;

TEST_CASE("what was appended is read in order, also after a restart") {
  temporary_directory at;
  fake_clock clock;
  {
    store on = open(at.data(), clock.options());
    const auto orders = on.stream("orders", 0ms).value();
    const auto other = on.stream("other", 0ms).value();
    const auto first = append(on, orders, {"a", "", std::string(100000, 'c')}).value();
    CHECK(first.first == 1);
    CHECK(first.count == 3);
    CHECK(first.time == clock.now());
    append(on, other, {"elsewhere"}).value();
    clock.advance(-1h);
    CHECK(append(on, orders, {std::string("d\0d", 3)}).value().first == 4);
    const auto all = read(on, orders);
    CHECK(blobs_of(all) == std::vector<std::string>{"a", "", std::string(100000, 'c'), std::string("d\0d", 3)});
    CHECK(all[3].time == all[0].time);  // times do not step back
  }
  store on = open(at.data(), clock.options());
  const auto orders = on.stream("orders", 0ms).value();
  CHECK(read(on, orders, 3).size() == 1);
  CHECK(append(on, orders, {"e"}).value().first == 5);
  CHECK(blobs_of(read(on, on.stream("other", 0ms).value())) == std::vector<std::string>{"elsewhere"});
}

TEST_CASE("a read is bounded by count and bytes, and gives one event however large") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  append(on, orders, {std::string(1000, 'a'), std::string(1000, 'b'), std::string(1000, 'c')}).value();
  CHECK(read(on, orders, 0, 2).size() == 2);
  CHECK(read(on, orders, 0, 10, 2500).size() == 2);
  CHECK(read(on, orders, 0, 10, 1).size() == 1);
  CHECK(read(on, orders, 3).empty());
}

TEST_CASE("growth is told once a commit, with the newest number") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  std::mutex mutex;
  std::vector<std::int64_t> told;
  on.on_growth(orders, [&](std::int64_t last) {
    const std::lock_guard lock(mutex);
    told.push_back(last);
  });
  append(on, orders, {"a", "b"}).value();
  append(on, orders, {"c"}).value();
  const std::lock_guard lock(mutex);
  CHECK(told == std::vector<std::int64_t>{2, 3});
}

TEST_CASE("an unknown stream is refused without harm to the rest of its group") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  CHECK(append(on, stream_id{99}, {"a"}).error().code == store_errc::not_found);
  CHECK(append(on, orders, {"a"}).has_value());
}

TEST_CASE("beyond the bound of what waits an append is refused at once, and later goes again") {
  temporary_directory at;
  store_options options;
  options.max_waiting_bytes = 10000;
  std::promise<void> entered;
  std::promise<void> go_on;
  store on = open(at.data(), options);
  const auto orders = on.stream("orders", 0ms).value();
  // The writer stands in this callback until told to go on, so that what comes has to wait.
  on.flush([&](const store_result<void>&) {
    entered.set_value();
    go_on.get_future().wait();
  });
  entered.get_future().wait();
  std::atomic<int> done{0};
  on.append(orders, {std::string(8000, 'a')}, [&done](const auto& result) { done += result ? 1 : 100; });
  bool refused = false;
  on.append(orders, {std::string(8000, 'b')},
            [&refused](const auto& result) { refused = result.error().code == store_errc::busy; });
  CHECK(refused);
  CHECK(on.waiting_bytes() >= 8000);
  go_on.set_value();
  flush(on);
  CHECK(done == 1);
  CHECK(on.waiting_bytes() < 8000);
  CHECK(append(on, orders, {std::string(20000, 'c')}).has_value());  // one is always taken
  CHECK(read(on, orders).size() == 2);
}

TEST_CASE("many callers at once: every event is there once, in the order of the numbers given") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  constexpr int threads = 4;
  constexpr int each = 50;
  std::vector<std::thread> callers;
  std::mutex mutex;
  std::map<std::int64_t, std::string> given;
  for (int caller = 0; caller < threads; ++caller) {
    callers.emplace_back([&, caller] {
      for (int one = 0; one < each; ++one) {
        const std::string text = std::to_string(caller) + "/" + std::to_string(one);
        const auto result = append(on, orders, {text, text + "+"}).value();
        const std::lock_guard lock(mutex);
        given[result.first] = text;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  const auto all = read(on, orders);
  REQUIRE(all.size() == 2 * threads * each);
  for (const auto& [seq, text] : given) {
    CHECK(all[static_cast<std::size_t>(seq - 1)].blob == text);
    CHECK(all[static_cast<std::size_t>(seq)].blob == text + "+");
  }
}

TEST_CASE("a consumer begins where it is told, once") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  append(on, orders, {"a", "b"}).value();
  const auto latest = on.consumer("late", orders, start_at::latest).value();
  const auto earliest = on.consumer("early", orders, start_at::earliest).value();
  CHECK(on.load(latest).value().position == 2);
  CHECK(on.load(earliest).value().position == 0);
  append(on, orders, {"c"}).value();
  CHECK(on.consumer("late", orders, start_at::latest).value() == latest);
  CHECK(on.load(latest).value().position == 2);
  const auto other = on.stream("other", 0ms).value();
  CHECK(on.consumer("late", other, start_at::latest).value() != latest);
  CHECK(on.consumers().value() == std::vector<std::string>{"early", "late"});
  on.forget_consumer("early").value();
  CHECK(on.load(earliest).error().code == store_errc::not_found);
  CHECK(on.forget_consumer("early").error().code == store_errc::not_found);
}

TEST_CASE("settled events and retries are found again after a restart") {
  temporary_directory at;
  fake_clock clock;
  {
    store on = open(at.data(), clock.options());
    const auto orders = on.stream("orders", 0ms).value();
    append(on, orders, std::vector<std::string>(20, "x")).value();
    const auto bill = on.consumer("bill", orders, start_at::earliest).value();
    on.settle(bill, {1, 2, 4, 5, 7});
    on.settle_range(bill, {10, 12});
    on.retry(bill, 3, {2, clock.now() + 5s, clock.now(), 503, "busy"});
    on.retry(bill, 6, {1, clock.now() + 1s, clock.now(), 0, "reset"});
    on.settle_range(bill, {19, 500});  // beyond the end: only what there is
  }
  {
    store on = open(at.data(), clock.options());
    const auto orders = on.stream("orders", 0ms).value();
    const auto bill = on.consumer("bill", orders, start_at::latest).value();
    const auto state = on.load(bill).value();
    CHECK(state.position == 2);
    CHECK(state.settled == std::vector<seq_range>{{4, 5}, {7, 7}, {10, 12}, {19, 20}});
    REQUIRE(state.retries.size() == 2);
    CHECK(state.retries[0].seq == 3);
    CHECK(state.retries[0].state.attempts == 2);
    CHECK(state.retries[0].state.next_attempt == clock.now() + 5s);
    CHECK(state.retries[0].state.first_failure == clock.now());
    CHECK(state.retries[0].state.last_status == 503);
    CHECK(state.retries[0].state.last_error == "busy");
    const auto of = usage(on).consumers.at(0);
    CHECK(of.unsettled == 10);
    CHECK(of.oldest.has_value());
    on.settle(bill, {3, 6});
    flush(on);
    append(on, orders, {"y"}).value();
  }
  store on = open(at.data(), clock.options());
  const auto state = on.load(on.consumer("bill", on.stream("orders", 0ms).value(), start_at::latest).value()).value();
  CHECK(state.position == 7);
  CHECK(state.settled == std::vector<seq_range>{{10, 12}, {19, 20}});
  CHECK(state.retries.empty());
}

TEST_CASE("settles are written without anybody asking") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  append(on, orders, {"a"}).value();
  const auto bill = on.consumer("bill", orders, start_at::earliest).value();
  on.settle(bill, {1});
  // The reader sees only what is committed.
  while (usage(on).consumers.at(0).position != 1) std::this_thread::sleep_for(1ms);
}

TEST_CASE("only settled events that are old are dropped, and their numbers are not used again") {
  temporary_directory at;
  fake_clock clock;
  {
    store on = open(at.data(), clock.options());
    const auto orders = on.stream("orders", 1h).value();
    const auto bill = on.consumer("bill", orders, start_at::earliest).value();
    const auto ship = on.consumer("ship", orders, start_at::earliest).value();
    append(on, orders, std::vector<std::string>(100, "old")).value();
    clock.advance(2h);
    append(on, orders, {"young"}).value();
    on.settle_range(bill, {1, 101});
    on.settle_range(ship, {1, 40});
    on.settle_range(ship, {50, 101});
    sweep(on);
    CHECK(read(on, orders).front().seq == 41);
    on.settle_range(ship, {41, 49});
    sweep(on);
    CHECK(read(on, orders).front().seq == 101);
    clock.advance(2h);
    sweep(on);
    CHECK(read(on, orders).empty());
    CHECK(usage(on).streams.at(0).last == 101);
  }
  store on = open(at.data(), clock.options());
  const auto orders = on.stream("orders", 1h).value();
  CHECK(append(on, orders, {"next"}).value().first == 102);
  CHECK(on.load(on.consumer("new", orders, start_at::earliest).value()).value().position == 101);
}

TEST_CASE("a stream that nobody consumes keeps its events by age alone") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto kept = on.stream("kept", 0ms).value();
  const auto orders = on.stream("orders", 1h).value();
  append(on, orders, {"a"}).value();
  append(on, kept, {"a"}).value();
  clock.advance(30min);
  append(on, orders, {"b"}).value();
  sweep(on);
  CHECK(read(on, orders).size() == 2);
  clock.advance(31min);
  sweep(on);
  CHECK(blobs_of(read(on, orders)) == std::vector<std::string>{"b"});
  CHECK(read(on, kept).size() == 1);
}

TEST_CASE("many old events go in slices, beside appends") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto orders = on.stream("orders", 1h).value();
  for (int batch = 0; batch < 10; ++batch)
    append(on, orders, std::vector<std::string>(1000, std::string(200, 'x'))).value();
  clock.advance(2h);
  std::promise<void> swept;
  on.sweep([&swept](const store_result<void>&) { swept.set_value(); });
  auto future = swept.get_future();
  std::int64_t more = 0;
  while (future.wait_for(0ms) != std::future_status::ready) {
    append(on, orders, {"new"}).value();
    ++more;
  }
  CHECK(read(on, orders, 0, 100000).size() == static_cast<std::size_t>(more));
}
