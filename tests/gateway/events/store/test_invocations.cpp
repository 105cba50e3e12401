#include <catch2/catch.hpp>
#include <mutex>

#include "support.hpp"

using namespace store_test;

namespace {

new_invocation call(const std::string& function, const std::string& body = "body") {
  static std::uint8_t next = 0;
  new_invocation out;
  out.function = function;
  out.random.fill(++next);
  out.meta = "POST /";
  out.body = body;
  return out;
}

invocation_end success(std::string response = "fine") {
  invocation_end out;
  out.succeeded = true;
  out.status = 200;
  out.response = std::make_shared<std::string>(std::move(response));
  out.result_ttl = 1h;
  return out;
}

std::vector<std::string> bodies_of(const taken& some) {
  std::vector<std::string> out;
  for (const auto& one : some.invocations) out.push_back(one.body);
  return out;
}

store_result<void> retry(store& on, const invocation_id& id, wall_time at) {
  return wait<void>([&](auto done) { on.retry(id, {at, 503, "busy"}, std::move(done)); });
}

store_result<void> cancel(store& on, const invocation_id& id) {
  return wait<void>([&](auto done) { on.cancel(id, 1h, std::move(done)); });
}

store_result<std::string> response(store& on, const invocation_id& id) {
  return wait<std::string>([&](auto done) { on.response(id, std::move(done)); });
}

using texts = std::vector<std::string>;

}  // namespace

TEST_CASE("an invocation's id survives its text, and nothing else passes for one") {
  invocation_id id;
  id.random.fill(0xa5);
  id.seq = 0x12f;
  CHECK(id.text() == "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-12f");
  CHECK(invocation_id::parse(id.text()) == id);
  for (const char* wrong : {"", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-",
                            "A5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-12f", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-012f",
                            "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5--1", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-12g",
                            "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-fffffffffffffffff", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 5-1"})
    CHECK_FALSE(invocation_id::parse(wrong));
}

TEST_CASE("an invocation is taken, run and its response kept for a while") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto id = enqueue(on, call("resize", "picture")).value().id;
  CHECK(look_up(on, id).value().state == invocation_state::queued);
  CHECK(response(on, id).error().code == store_errc::conflict);
  const auto some = take(on, "resize");
  REQUIRE(some.invocations.size() == 1);
  CHECK(some.invocations[0].id == id);
  CHECK(some.invocations[0].meta == "POST /");
  CHECK(some.invocations[0].body == "picture");
  CHECK_FALSE(some.next_due);
  CHECK(look_up(on, id).value().state == invocation_state::queued);
  CHECK(on.begin(id));
  CHECK(look_up(on, id).value().state == invocation_state::running);
  CHECK(take(on, "resize").invocations.empty());
  CHECK(usage(on).queues.at(0).requests == 1);
  CHECK(usage(on).queues.at(0).bytes == 13);
  finish(on, id, success()).value();
  CHECK(finish(on, id, success()).error().code == store_errc::conflict);
  const auto status = look_up(on, id).value();
  CHECK(status.state == invocation_state::succeeded);
  CHECK(status.attempts == 1);
  CHECK(status.last_status == 200);
  CHECK(status.finished == clock.now());
  CHECK(response(on, id).value() == "fine");
  CHECK(usage(on).queues.at(0).requests == 0);
  CHECK(usage(on).queues.at(0).bytes == 0);
  CHECK(usage(on).queues.at(0).results == 1);
  CHECK(usage(on).queues.at(0).result_bytes == 4);
  clock.advance(59min);
  sweep(on);
  CHECK(look_up(on, id).has_value());
  clock.advance(1min);
  sweep(on);
  CHECK(look_up(on, id).error().code == store_errc::not_found);
  CHECK(response(on, id).error().code == store_errc::not_found);
  CHECK(usage(on).queues.at(0).results == 0);
  CHECK(usage(on).queues.at(0).result_bytes == 0);
}

TEST_CASE("what is not admitted is not taken, nor read") {
  temporary_directory at;
  store on = open(at.data());
  for (const char* body : {"one", "three", "four and more", "two"}) enqueue(on, call("resize", body)).value();
  std::size_t room = 30;
  std::vector<std::size_t> asked;
  const auto take_some = [&] {
    return wait<taken>([&](auto done) {
             on.take("resize", 10, 1000, std::move(done), [&](std::size_t bytes) {
               asked.push_back(bytes);
               if (bytes > room) return false;
               room -= bytes;
               return true;
             });
           })
        .value();
  };
  auto some = take_some();
  CHECK(bodies_of(some) == std::vector<std::string>{"one", "three"});
  CHECK(asked == std::vector<std::size_t>{9, 11, 19});  // "POST /" goes with each
  CHECK(some.next_due);
  CHECK(bodies_of(take_some()).empty());
  for (const auto& one : some.invocations) on.put_back(one.id);
  room = 28;
  CHECK(bodies_of(take_some()) == std::vector<std::string>{"one", "three"});
  CHECK(bodies_of(take_some()).empty());
  room = 100;
  CHECK(bodies_of(take_some()) == std::vector<std::string>{"four and more", "two"});
}

TEST_CASE("what is due is counted, running or not; what waits for its time is not") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto due = [&on](const std::string& function) {
    for (const auto& one : wait<std::vector<queue_due>>([&](auto done) { on.due(std::move(done)); }).value())
      if (one.function == function) return one.requests;
    return std::int64_t{-1};
  };
  CHECK(due("resize") == -1);
  std::vector<invocation_id> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(enqueue(on, call("resize")).value().id);
  enqueue(on, call("other")).value();
  CHECK(due("resize") == 3);
  take(on, "resize", 2);
  CHECK(on.begin(ids[0]));
  CHECK(due("resize") == 3);
  invocation_retry later;
  later.next_attempt = clock.now() + 10s;
  wait<void>([&](auto done) { on.retry(ids[0], later, std::move(done)); }).value();
  CHECK(due("resize") == 2);
  finish(on, ids[1], success()).value();
  CHECK(due("resize") == 1);
  clock.advance(10s);
  CHECK(due("resize") == 2);
  for (int i = 0; i < 2; ++i) finish(on, take(on, "resize", 1).invocations.at(0).id, success()).value();
  CHECK(due("resize") == -1);
  CHECK(due("other") == 1);
}

TEST_CASE("an id with other random bits is not found") {
  temporary_directory at;
  store on = open(at.data());
  auto id = enqueue(on, call("resize")).value().id;
  id.random[15] ^= 1;
  CHECK(look_up(on, id).error().code == store_errc::not_found);
  CHECK(cancel(on, id).error().code == store_errc::not_found);
}

TEST_CASE("each function's are taken in order, whatever waits for another") {
  temporary_directory at;
  store on = open(at.data());
  for (int one = 0; one < 5; ++one) {
    enqueue(on, call("a", "a" + std::to_string(one))).value();
    enqueue(on, call("b", "b" + std::to_string(one))).value();
  }
  CHECK(bodies_of(take(on, "b", 2)) == texts{"b0", "b1"});
  const auto rest = take(on, "a", 100, 8 * 3);
  CHECK(bodies_of(rest) == texts{"a0", "a1", "a2"});
  CHECK(rest.next_due.has_value());
  on.put_back(rest.invocations[1].id);
  on.put_back(rest.invocations[0].id);
  CHECK(bodies_of(take(on, "a")) == texts{"a0", "a1", "a3", "a4"});
  CHECK(bodies_of(take(on, "b")) == texts{"b2", "b3", "b4"});
  CHECK(take(on, "nobody").invocations.empty());
}

TEST_CASE("a retry comes back when it is due, with its attempts") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto id = enqueue(on, call("a", "first")).value().id;
  CHECK(retry(on, id, clock.now()).error().code == store_errc::conflict);
  take(on, "a");
  const auto due = clock.now() + 10s;
  retry(on, id, due).value();
  CHECK(look_up(on, id).value().attempts == 1);
  CHECK(look_up(on, id).value().last_status == 503);
  CHECK(look_up(on, id).value().next_attempt == due);
  enqueue(on, call("a", "second")).value();
  auto some = take(on, "a");
  CHECK(bodies_of(some) == texts{"second"});
  CHECK(some.next_due == due);
  clock.advance(10s);
  some = take(on, "a");
  REQUIRE(bodies_of(some) == texts{"first"});
  CHECK(some.invocations[0].attempts == 1);
}

TEST_CASE("nothing is passed over when the clock steps back") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto id = enqueue(on, call("a", "0")).value().id;
  CHECK(take(on, "a").invocations.size() == 1);
  clock.advance(-1h);
  enqueue(on, call("a", "1")).value();
  CHECK(bodies_of(take(on, "a")) == texts{"1"});
  retry(on, id, clock.now()).value();
  CHECK(bodies_of(take(on, "a")) == texts{"0"});
}

TEST_CASE("what was running is queued again after a restart, with its attempts") {
  temporary_directory at;
  fake_clock clock;
  invocation_id ended;
  {
    store on = open(at.data(), clock.options());
    enqueue(on, call("a", "0")).value();
    enqueue(on, call("a", "1")).value();
    enqueue(on, call("a", "2")).value();
    const auto some = take(on, "a", 2);
    retry(on, some.invocations[0].id, clock.now()).value();
    ended = take(on, "a", 1).invocations.at(0).id;
    finish(on, ended, success()).value();
    take(on, "a", 1);
  }
  store on = open(at.data(), clock.options());
  CHECK(look_up(on, ended).value().state == invocation_state::succeeded);
  const auto some = take(on, "a");
  CHECK(bodies_of(some) == texts{"1", "0"});
  CHECK(some.invocations[1].attempts == 1);
  CHECK(usage(on).queues.at(0).requests == 2);
  CHECK(enqueue(on, call("a")).value().id.seq > ended.seq);
}

TEST_CASE("only what does not run can be cancelled") {
  temporary_directory at;
  store on = open(at.data());
  const auto first = enqueue(on, call("a", "0")).value().id;
  const auto second = enqueue(on, call("a", "1")).value().id;
  const auto third = enqueue(on, call("a", "2")).value().id;
  take(on, "a", 2);
  CHECK(on.begin(first));
  CHECK(cancel(on, first).error().code == store_errc::conflict);
  on.put_back(second);
  cancel(on, second).value();
  cancel(on, third).value();
  CHECK(look_up(on, third).value().state == invocation_state::cancelled);
  CHECK(cancel(on, third).error().code == store_errc::conflict);
  CHECK(response(on, third).error().code == store_errc::conflict);
  CHECK(take(on, "a").invocations.empty());
  CHECK(usage(on).queues.at(0).requests == 1);
}

TEST_CASE("what is taken and has not begun can be cancelled, and then does not begin") {
  temporary_directory at;
  store on = open(at.data());
  const auto first = enqueue(on, call("a", "0")).value().id;
  const auto second = enqueue(on, call("a", "1")).value().id;
  REQUIRE(take(on, "a").invocations.size() == 2);
  CHECK(on.is_wanted(first));
  cancel(on, first).value();
  CHECK_FALSE(on.is_wanted(first));
  CHECK_FALSE(on.begin(first));
  CHECK(look_up(on, first).value().state == invocation_state::cancelled);
  CHECK(finish(on, first, success()).error().code == store_errc::conflict);
  on.put_back(first);
  CHECK(take(on, "a").invocations.empty());
  CHECK(on.begin(second));
  finish(on, second, success()).value();
  CHECK_FALSE(on.is_wanted(second));
  CHECK(usage(on).queues.at(0).requests == 0);
}

TEST_CASE("the same idempotency key gives the same invocation while it is known") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  auto what = call("a");
  what.idempotency_key = "key";
  const auto first = enqueue(on, what).value();
  CHECK_FALSE(first.existing);
  auto again = call("a");
  again.idempotency_key = "key";
  CHECK(enqueue(on, again).value().existing);
  CHECK(enqueue(on, again).value().id == first.id);
  auto elsewhere = call("b");
  elsewhere.idempotency_key = "key";
  CHECK_FALSE(enqueue(on, elsewhere).value().existing);
  take(on, "a");
  finish(on, first.id, success()).value();
  CHECK(enqueue(on, again).value().id == first.id);
  clock.advance(2h);
  sweep(on);
  CHECK(enqueue(on, again).value().id != first.id);
}

TEST_CASE("a full queue refuses, by count and by bytes, and counts exactly") {
  temporary_directory at;
  store on = open(at.data());
  auto what = call("a", std::string(94, 'x'));
  what.max_requests = 3;
  what.max_bytes = 250;
  const auto first = enqueue(on, what).value().id;
  enqueue(on, what).value();
  CHECK(enqueue(on, what).error().code == store_errc::limit);
  auto small = call("a", "x");
  small.max_requests = 3;
  enqueue(on, small).value();
  CHECK(enqueue(on, small).error().code == store_errc::limit);
  CHECK(enqueue(on, call("b")).has_value());
  take(on, "a", 1);
  CHECK(enqueue(on, small).error().code == store_errc::limit);  // what runs counts
  finish(on, first, success()).value();
  CHECK(enqueue(on, small).has_value());
}

TEST_CASE("ready invocations are told of, by function") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  std::mutex mutex;
  texts told;
  on.on_queued([&](const std::string& function) {
    const std::lock_guard lock(mutex);
    told.push_back(function);
  });
  enqueue(on, call("a")).value();
  enqueue(on, call("b")).value();
  const auto id = take(on, "a").invocations.at(0).id;
  retry(on, id, clock.now() + 1s).value();
  const std::lock_guard lock(mutex);
  CHECK(told == texts{"a", "b", "a"});
}
