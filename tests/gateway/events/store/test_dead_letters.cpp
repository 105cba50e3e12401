#include <catch2/catch.hpp>

#include "support.hpp"

using namespace store_test;

namespace {

dead_letter show(store& on, std::int64_t id) {
  return wait<dead_letter>([&](auto done) { on.show_dead_letter(id, std::move(done)); }).value();
}

std::size_t purge(store& on, dead_letter_choice choice) {
  return wait<std::size_t>([&](auto done) { on.purge(std::move(choice), std::move(done)); }).value();
}

std::int64_t keep(store& on, const std::string& owner, const std::string& blob) {
  return wait<std::int64_t>([&](auto done) { on.keep_dead_letter(owner, "topic", blob, {}, std::move(done)); }).value();
}

dead_letter_choice of_owner(const std::string& owner) {
  dead_letter_choice out;
  out.owner = owner;
  return out;
}

dead_letter_choice of_ids(std::vector<std::int64_t> ids) {
  dead_letter_choice out;
  out.ids = std::move(ids);
  return out;
}

}  // namespace

TEST_CASE("an event given up on is settled and kept, and redriven for its own consumer only") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  const auto orders = on.stream("orders", 1h).value();
  const auto bill = on.consumer("bill", orders, start_at::earliest).value();
  const auto ship = on.consumer("ship", orders, start_at::earliest).value();
  append(on, orders, {"a", "b"}).value();
  const auto created = clock.now();
  clock.advance(1min);
  give_up(on, bill, 2, {10, 500, "broken"}).value();
  give_up(on, bill, 2, {11, 500, "again"}).value();  // a second time does nothing
  CHECK(give_up(on, bill, 3).error().code == store_errc::not_found);
  CHECK(on.load(bill).value().settled == std::vector<seq_range>{{2, 2}});
  const auto all = letters(on, "bill");
  REQUIRE(all.size() == 1);
  CHECK(all[0].blob.empty());
  const auto letter = show(on, all[0].id);
  CHECK(letter.kind == dead_letter_kind::event);
  CHECK(letter.seq == 2);
  CHECK(letter.blob == "b");
  CHECK(letter.created == created);
  CHECK(letter.given_up == clock.now());
  CHECK(letter.why.attempts == 10);
  CHECK(letter.why.last_status == 500);
  CHECK(letter.why.last_error == "broken");

  // The stream drops the event; the letter has it still.
  on.settle_range(bill, {1, 2});
  on.settle_range(ship, {1, 2});
  clock.advance(2h);
  sweep(on);
  CHECK(read(on, orders).empty());
  CHECK(redrive(on, of_owner("bill")).moved == 1);
  CHECK(letters(on).empty());
  const auto again = read(on, orders);
  REQUIRE(again.size() == 1);
  CHECK(again[0].blob == "b");
  CHECK(again[0].seq == 3);
  CHECK(again[0].is_for(bill));
  CHECK_FALSE(again[0].is_for(ship));
}

TEST_CASE("what has nowhere to go stays a dead letter") {
  temporary_directory at;
  store on = open(at.data());
  const auto orders = on.stream("orders", 0ms).value();
  const auto bill = on.consumer("bill", orders, start_at::earliest).value();
  append(on, orders, {"a"}).value();
  give_up(on, bill, 1).value();
  on.forget_consumer("bill").value();
  keep(on, "clicks", "record");
  auto result = redrive(on, {});
  CHECK(result.moved == 0);
  CHECK(result.skipped == 2);
  CHECK(result.first_problem.find("no trigger bill") != std::string::npos);
  CHECK(letters(on).size() == 2);
  result = redrive(on, of_owner("clicks"), orders);
  CHECK(result.moved == 1);
  CHECK(read(on, orders).back().blob == "record");
  CHECK_FALSE(read(on, orders).back().only);
}

TEST_CASE("one of a source outside is redriven as an event of its owner's, for it alone") {
  temporary_directory at;
  store on = open(at.data());
  const auto stream = on.stream("kafka/clicks", 0ms).value();
  const auto clicks = on.consumer("clicks", stream, start_at::latest).value();
  const auto id = keep(on, "clicks", "record");
  const auto result = redrive(on, of_ids({id}));
  CHECK(result.moved == 1);
  const auto all = read(on, stream);
  REQUIRE(all.size() == 1);
  CHECK(all[0].blob == "record");
  CHECK(all[0].only == clicks);
  CHECK(letters(on).empty());
}

TEST_CASE("a failed invocation is kept, and redriven under its id without attempts") {
  temporary_directory at;
  fake_clock clock;
  store on = open(at.data(), clock.options());
  new_invocation what;
  what.function = "resize";
  what.random.fill(9);
  what.meta = "meta";
  what.body = "body";
  what.idempotency_key = "key";
  const auto id = enqueue(on, what).value().id;
  take(on, "resize");
  invocation_end end;
  end.status = 500;
  end.error = "broken";
  end.response = std::make_shared<std::string>("sorry");
  end.result_ttl = 1h;
  end.dead_letter = true;
  finish(on, id, end).value();
  CHECK(look_up(on, id).value().state == invocation_state::failed);
  const auto letter = show(on, letters(on, "resize").at(0).id);
  CHECK(letter.kind == dead_letter_kind::invocation);
  CHECK(letter.meta == "meta");
  CHECK(letter.blob == "body");
  CHECK(letter.why.attempts == 1);

  SECTION("while its result is known") {
    CHECK(redrive(on, of_ids({letter.id})).moved == 1);
  }
  SECTION("long after") {
    clock.advance(2h);
    sweep(on);
    CHECK(look_up(on, id).error().code == store_errc::not_found);
    CHECK(redrive(on, of_ids({letter.id, 77})).moved == 1);
  }
  CHECK(look_up(on, id).value().state == invocation_state::queued);
  CHECK(look_up(on, id).value().attempts == 0);
  CHECK(usage(on).queues.at(0).requests == 1);
  CHECK(usage(on).queues.at(0).results == 0);
  CHECK(usage(on).queues.at(0).result_bytes == 0);
  const auto some = take(on, "resize");
  REQUIRE(some.invocations.size() == 1);
  CHECK(some.invocations[0].body == "body");
  CHECK(some.invocations[0].id == id);
}

TEST_CASE("dead letters are listed in pages, counted and purged by owner or id") {
  temporary_directory at;
  store on = open(at.data());
  std::vector<std::int64_t> a;
  for (int one = 0; one < 150; ++one) {
    a.push_back(keep(on, "a", std::to_string(one)));
    if (one % 10 == 0) keep(on, "b", "b");
  }
  CHECK(letters(on).size() == 165);
  const auto page = letters(on, "a", a[99], 20);
  REQUIRE(page.size() == 20);
  CHECK(page[0].id == a[100]);
  CHECK(page[0].size == 8);
  const auto counts = usage(on).dead_letters;
  REQUIRE(counts.size() == 2);
  CHECK(counts[0].owner == "a");
  CHECK(counts[0].count == 150);
  CHECK(counts[1].count == 15);
  CHECK(purge(on, of_ids({a[0], a[0], 100000})) == 1);
  CHECK(purge(on, of_owner("a")) == 149);
  CHECK(letters(on, "a").empty());
  CHECK(purge(on, {}) == 15);
  CHECK(keep(on, "a", "x") > a.back());  // an id is never used again
}
